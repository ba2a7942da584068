// Non-owning views of matrices.
#pragma once

#include <cstdint>
#include <type_traits>

namespace tutti {

// A row-major matrix that somebody else owns: element (row, column) stands at
// data[row * stride + column]. `stride` is in elements and at least `cols`.
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  MatrixView() = default;
  MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_)
      : MatrixView(data_, rows_, cols_, cols_) {}
  MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

  // A view of mutable elements is also a view of constant ones.
  operator MatrixView<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride};
  }

  T* row(std::int64_t index) const { return data + index * stride; }
  T& operator()(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }

  // Rows [begin, begin + count).
  MatrixView row_range(std::int64_t begin, std::int64_t count) const {
    return {row(begin), count, cols, stride};
  }
};

template <class T>
using ConstMatrixView = MatrixView<const T>;

}  // namespace tutti
