// Vectors as the register tiles want them: sixteen side by side.
#pragma once

#include <cstdint>

#include "kernels/core/arena.h"
#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

// Rows of vectors that somebody else owns, one of the types f32, bf16, f16, u8 and i8, each of
// which converts to f32 exactly. `stride` is in elements and at least `dim`.
struct VectorRows {
  const void* data = nullptr;
  DType type = DType::f32;
  std::int64_t count = 0;
  std::int64_t dim = 0;
  std::int64_t stride = 0;

  VectorRows() = default;
  VectorRows(const void* data_, DType type_, std::int64_t count_, std::int64_t dim_,
             std::int64_t stride_)
      : data(data_), type(type_), count(count_), dim(dim_), stride(stride_) {}
  template <class T>
  VectorRows(MatrixView<T> rows)
      : VectorRows(rows.data, dtype_of<std::remove_const_t<T>>, rows.rows, rows.cols, rows.stride) {
  }

  // Rows [begin, begin + size).
  VectorRows range(std::int64_t begin, std::int64_t size) const;
};

// Throws std::invalid_argument unless the type is one of the five, there is at least one dimension,
// the stride covers it and no extent is negative. `what` opens the message.
void check_rows(const VectorRows& rows, const char* what);

// Row `index` as floats.
void copy_row(const VectorRows& rows, std::int64_t index, float* out);

// Vectors packed as floats in groups of kLanes: element j of vector i stands at
// group(i / kLanes)[j * kLanes + i % kLanes]. The last group is filled up with zeros.
class PackedVectors {
 public:
  static constexpr std::int64_t kLanes = 16;

  PackedVectors() = default;
  explicit PackedVectors(const VectorRows& rows) { pack(rows); }

  // Replaces the contents by `rows`, reusing the memory where it is large enough. Serial within a
  // parallel loop, parallel otherwise. Throws std::invalid_argument as check_rows does.
  void pack(const VectorRows& rows);

  std::int64_t count() const { return count_; }
  std::int64_t dim() const { return dim_; }
  std::int64_t groups() const { return (count_ + kLanes - 1) / kLanes; }
  // Memory that they take.
  std::int64_t bytes() const {
    return (data_.size() + half_lengths_.size()) * std::int64_t(sizeof(float));
  }
  const float* group(std::int64_t index) const { return data_.data() + index * kLanes * dim_; }

  // Per vector, padded like the groups: a number that is at most half its squared length less the
  // rounding of a dot product with it (see chunk_scan.cpp), or -infinity where the square is so
  // large that this cannot be told.
  const float* half_lengths() const { return half_lengths_.data(); }

 private:
  void pack_group(const VectorRows& rows, std::int64_t index);

  std::int64_t count_ = 0;
  std::int64_t dim_ = 0;
  AlignedBuffer<float> data_;
  AlignedBuffer<float> half_lengths_;
};

// The bound that half_lengths() and chunk_scan.cpp share: everything that rounding does to a dot
// product or a squared distance over `dim` elements, relative to |q|^2 + |v|^2, with room to spare.
inline double rounding_slack(std::int64_t dim) { return 0x1p-24 * (2.0 * double(dim) + 16); }

// Squared lengths above this are not bounded: partial sums might overflow.
inline constexpr double kLargestSquare = 0x1p120;

// What underflow may add on top, in a sum over `dim` elements.
inline double underflow_slack(std::int64_t dim) { return 0x1p-148 * (double(dim) + 1); }

}  // namespace tutti
