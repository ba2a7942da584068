// Exact search: the k nearest of a set of vectors for each query.
//
// Contract of all functions here. Every distance is the number that reference::distance defines,
// bit for bit, and neighbours are ordered by (distance, id), so what is returned depends on nothing
// else: not on threads, blocking, vector units, the types that hold equal values, or how the
// vectors were cut into calls. NaN distances never rank; infinite ones do, last. Results are added
// to what the accumulators already keep. All functions are parallel and throw std::invalid_argument
// where shapes do not fit, an id is negative, or accumulators differ in k.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/prefetch.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// The ids of a set of vectors: consecutive ones, or a table that somebody else owns.
class VectorIds {
 public:
  VectorIds(std::int64_t first = 0) : first_(first) {}
  VectorIds(std::span<const std::int64_t> table) : table_(table), consecutive_(false) {}
  VectorIds(const std::vector<std::int64_t>& table) : VectorIds(std::span(table)) {}

  // Throws std::invalid_argument unless these are `count` ids, none of them negative.
  void check(std::int64_t count) const;

  std::int64_t operator[](std::int64_t index) const {
    return consecutive_ ? first_ + index : table_[static_cast<std::size_t>(index)];
  }

  void prefetch(std::int64_t index) const {
    if (!consecutive_) tutti::prefetch(table_.data() + index, sizeof(std::int64_t));
  }

  // The ids of vectors [begin, begin + count).
  VectorIds range(std::int64_t begin, std::int64_t count) const;

 private:
  std::span<const std::int64_t> table_;
  std::int64_t first_ = 0;
  bool consecutive_ = true;
};

// results[i] accumulates the neighbours of row i of `queries`. Vectors of any type are packed on
// the fly, a cache's worth at a time.
void scan(ConstMatrixView<float> queries, const VectorRows& vectors, const VectorIds& ids,
          Metric metric, std::span<TopK> results);

// The same for vectors that are packed already.
void scan(ConstMatrixView<float> queries, const PackedVectors& vectors, const VectorIds& ids,
          Metric metric, std::span<TopK> results);

// An inverted list and the rows of the query matrix that probe it.
struct ListScan {
  VectorRows vectors;
  VectorIds ids;
  std::span<const std::int64_t> queries;
};

// List by list: results[i] accumulates the neighbours of row i of `queries` over all lists that
// name i. A row named twice for one list counts twice.
void scan_lists(ConstMatrixView<float> queries, std::span<const ListScan> lists, Metric metric,
                std::span<TopK> results);

namespace reference {

void scan(ConstMatrixView<float> queries, const VectorRows& vectors, const VectorIds& ids,
          Metric metric, std::span<TopK> results);
void scan_lists(ConstMatrixView<float> queries, std::span<const ListScan> lists, Metric metric,
                std::span<TopK> results);

}  // namespace reference
}  // namespace tutti
