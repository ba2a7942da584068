// What both kinds of attention do with rows. Private to them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/ops/attention.h"
#include "kernels/ops/product.h"

namespace tutti {

// A length as it is multiplied.
inline std::int64_t rounded_rows(std::int64_t length) {
  return (length + kAttentionStep - 1) / kAttentionStep * kAttentionStep;
}

inline OperandStride transposed(const OperandStride& stride) { return {0, stride.col, stride.row}; }

// Rows without gaps -> rows that are `stride` apart.
template <class T>
void copy_rows(const T* from, std::int64_t rows, std::int64_t cols, T* to, std::int64_t stride) {
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(from + r * cols, cols, to + r * stride);
}

}  // namespace tutti
