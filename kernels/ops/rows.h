// Small operations on rows: bias, conversion and sums over rows in a fixed order.
//
// Unless stated otherwise a function runs on the calling thread. All throw std::invalid_argument
// where shapes differ.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

// product + bias (a bias of null adds nothing) -> out, rounded to T (float or bf16). `out` may be
// `product`, where T is float.
template <class T>
void add_bias(MatrixView<const float> product, const float* bias, MatrixView<T> out);

// to += x.
void add_rows(MatrixView<const float> x, MatrixView<float> to);

// sums[c] = sum over rows of x[r][c], taken row by row from the first. T is float or bf16.
template <class T>
void column_sums(MatrixView<const T> x, float* sums);

// Columns [first, first + size) of a matrix of partial sums, and where their totals go.
struct SumTarget {
  std::int64_t first = 0;
  std::int64_t size = 0;
  float* total = nullptr;
};

// total[c] += sum over rows of partials[r][first + c], over a binary tree of the rows whose shape
// depends on their number alone. Overwrites `partials`. Parallel over columns.
void add_partial_sums(MatrixView<float> partials, std::span<const SumTarget> targets);

// to[index[i]] += from[i] for every row i, rows that share an index in ascending order of i.
// `from` has index.size() rows. Parallel over the rows of `to`. Throws std::invalid_argument for
// an index out of range.
void scatter_add_rows(std::span<const std::int32_t> index, MatrixView<const float> from,
                      MatrixView<float> to);

namespace reference {

void scatter_add_rows(std::span<const std::int32_t> index, MatrixView<const float> from,
                      MatrixView<float> to);

}  // namespace reference
}  // namespace tutti
