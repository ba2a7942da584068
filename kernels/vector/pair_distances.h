// Distances of single pairs, measured as reference::distance defines them. Internal to
// kernels/vector.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"

namespace tutti {

// Measures sixteen pairs at a time. One thread's.
class PairDistances {
 public:
  static constexpr int kPairs = 16;

  PairDistances(Metric metric, std::int64_t dim);

  // out[i] is the distance of queries[i], `dim` floats, to row rows[i] of sets[i], for i < count;
  // count is at most kPairs.
  void measure(const float* const* queries, const VectorRows* const* sets, const std::int64_t* rows,
               int count, float* out);

 private:
  const float* as_floats(const VectorRows& rows, std::int64_t row, int slot);

  Metric metric_;
  std::int64_t dim_;
  AlignedBuffer<float> converted_;   // [kPairs][dim], of vectors that are no floats
  AlignedBuffer<float> columns_[2];  // [dim][kPairs]
  AlignedBuffer<float> rows_;        // [kPairs][dim]
};

}  // namespace tutti
