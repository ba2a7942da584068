// The vectors of an artefact as the index and search jobs want them: floats, checked, of unit
// length where the metric asks for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"
#include "runtime/base/error.h"
#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"

namespace tutti {

// Vectors and where they came from, in order of row.
struct VectorBatch {
  std::int64_t dim = 0;
  std::vector<float> values;       // [count, dim]
  std::vector<std::int64_t> rows;  // global rows of the table `vectors`
  std::int64_t skipped = 0;        // rows left out because their vectors are bad

  std::int64_t count() const { return std::int64_t(rows.size()); }
  ConstMatrixView<float> view() const { return {values.data(), count(), dim}; }
};

// What keeps the row of floats from being indexed or searched for ("it holds a NaN or an
// infinity"), or "".
std::string vector_defect(std::span<const float> row, Metric metric);

// Reads the table `vectors` of an artefact of that kind. Local; threads may share one.
class VectorReader {
 public:
  // The dataset must outlive the reader. Throws Error(data) where it has no vectors that could be
  // indexed.
  VectorReader(const Dataset& dataset, Metric metric, bool skip_bad);

  const Dataset& dataset() const { return dataset_; }
  Metric metric() const { return metric_; }
  std::int64_t rows() const { return vector_.rows; }
  std::int64_t dim() const { return vector_.width; }
  // Of an element on disk.
  std::int64_t element_bytes() const { return std::int64_t(size_of(vector_.dtype)); }

  // Has ids counted from here on.
  void number_from(std::int64_t first_id) { first_id_ = first_id; }
  // Rows, ascending, that read() passes over as if they were not asked for.
  void leave_out(std::vector<std::int64_t> rows) { left_out_ = std::move(rows); }

  // The vectors of ascending rows. A bad vector (NaN, infinity, zeros under cosine) is skipped and
  // counted, or an Error(data) that names shard and row.
  VectorBatch read(std::span<const std::int64_t> rows) const;
  VectorBatch read(Range rows) const;

  // The error for a row whose products with the centroids overflow, so that none is nearest.
  Error too_large(std::int64_t row) const;

  // "shard-00001.h5, row 17 of /vectors/vector", with its folder.
  std::string place_of(std::int64_t row) const;

  // The ids of rows [rows.begin, rows.end). Throws Error(data) for a negative or too large one.
  std::vector<std::int64_t> ids(Range rows) const;

 private:
  // Vectors of `rows` as stored, one after another.
  std::vector<std::byte> read_stored(std::span<const std::int64_t> rows) const;
  void read_stored(Range rows, std::span<std::byte> bytes) const;

  const Dataset& dataset_;
  Metric metric_;
  bool skip_bad_;
  Dataset::Column vector_, id_;
  std::int64_t first_id_ = 0;
  std::vector<std::int64_t> left_out_;
};

}  // namespace tutti
