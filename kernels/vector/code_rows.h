// Codes of vectors row by row, for the distances of single pairs.
#pragma once

#include <cstdint>

#include "kernels/core/arena.h"
#include "kernels/core/prefetch.h"
#include "kernels/vector/code_space.h"

namespace tutti {

// A row holds the code's prefix and then what follows it, each filled up with zeros to whole
// blocks. A key is the squared distance of two codes, in squared steps of the prefix: an exact sum
// of integers, rounded once. Vectors that are loose in the space have the code that comes nearest.
class CodeRows {
 public:
  static constexpr std::int64_t kBlock = 32;

  // Room for `count` rows of codes in `space`, which outlives it.
  CodeRows(const CodeSpace& space, std::int64_t count);

  std::int64_t count() const { return count_; }
  std::int64_t row_bytes() const { return prefix_bytes_ + rest_bytes_; }
  std::int64_t held_bytes() const { return data_.size(); }
  // Memory that a row takes.
  static std::int64_t bytes_per_row(const CodeSpace& space);
  const std::int8_t* row(std::int64_t index) const { return data_.data() + index * row_bytes(); }

  // Fills rows from `first` on with the codes of vectors that are to be found. Parallel.
  void put(std::int64_t first, const VectorRows& vectors);
  // Row `index` of queries' codes, laid out as rows are: row_bytes() of them.
  void lay_out(const QueryCodes& queries, std::int64_t index, std::int8_t* row) const;

  // out[i] is the key of `code`, a row, and row rows[i].
  void measure(const std::int8_t* code, const std::int32_t* rows, std::int64_t count,
               float* out) const;
  void prefetch(std::int64_t index) const { tutti::prefetch(row(index), row_bytes()); }

 private:
  void lay_out(const std::int8_t* prefix, const std::int8_t* rest, std::int8_t* row) const;

  const CodeSpace& space_;
  std::int64_t count_, prefix_bytes_, rest_bytes_;
  double rest_square_;  // of a step of the rest, in those of the prefix
  AlignedBuffer<std::int8_t> data_;
};

}  // namespace tutti
