// Dropout (Srivastava et al., 2014) whose mask is a function of keys alone: it is never stored, and
// does not depend on how rows are batched.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"

namespace tutti {

// What is dropped in a pass: a share of the elements, by a key of each row of the batch, such as a
// number drawn for (seed, step, sample, row of the sample). A rate of zero drops nothing.
struct Dropout {
  float rate = 0;                       // below 1
  std::span<const std::uint64_t> rows;  // one key a row
};

// out[r][c] = 0 with probability `rate`, else x[r][c] / (1 - rate): a function of (rows[r], place,
// c). T is float or bf16; `out` may be `x`, where T is float. Runs on the calling thread. Throws
// std::invalid_argument where shapes differ or there are fewer keys than rows.
template <class T>
void dropout(MatrixView<const float> x, const Dropout& mask, std::uint64_t place,
             MatrixView<T> out);

}  // namespace tutti
