// Softmax over the first `valid` columns of each row.
//
// All functions run on the calling thread. They throw std::invalid_argument where shapes differ or
// `valid` exceeds them. T is float or bf16.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

// out[r][c] = exp(scale scores[r][c]) / sum over c' < valid, for r and c < valid; zero elsewhere.
// The scores are overwritten; `out` may be `scores`, where T is float. Scores outside the valid
// square are not read.
template <class T>
void masked_softmax(MatrixView<float> scores, std::int64_t valid, float scale, MatrixView<T> out);

// The gradient with respect to the scores, from that of the probabilities:
// d_scores = scale p (d_p - sum over columns of p d_p) within the valid square, zero elsewhere.
// `d_scores` may be `d_p`, where T is float.
template <class T>
void masked_softmax_backward(MatrixView<const T> p, MatrixView<const float> d_p, std::int64_t valid,
                             float scale, MatrixView<T> d_scores);

namespace reference {

template <class Real>
void softmax_row(const Real* scores, int cols, Real scale, Real* out);
template <class Real>
void softmax_row_backward(const Real* p, const Real* d_p, int cols, Real scale, Real* d_scores);

}  // namespace reference
}  // namespace tutti
