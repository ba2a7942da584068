// Layer normalisation over the columns of each row, with what comes before it fused in.
//
//   x   = base + added + added_bias                     (or x = base)
//   out = (x - mean(x)) / sqrt(variance(x) + epsilon) * gain + bias
//
// Its root-mean-square form (Zhang and Sennrich, 2019) takes the mean for zero and has no bias.
//
// All functions run on the calling thread, over the rows they are given: callers cut rows over
// threads. Every row's result depends on that row alone. They throw std::invalid_argument where
// shapes differ.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

enum class NormKind : std::uint8_t { layer, root_mean_square };

inline constexpr float kLayerNormEpsilon = 1e-5f;

// Learned vectors, one element a column. The root-mean-square form has no bias.
struct LayerNormWeights {
  const float* gain = nullptr;
  const float* bias = nullptr;
  NormKind kind = NormKind::layer;
  float epsilon = kLayerNormEpsilon;
};

// One element a row: what the backward pass needs.
struct LayerNormStatistics {
  float* mean = nullptr;
  float* rstd = nullptr;  // 1 / sqrt(variance + epsilon)
};

// out = layer_norm(x). T is float or bf16.
template <class T>
void layer_norm(MatrixView<const float> x, LayerNormWeights weights, MatrixView<T> out,
                LayerNormStatistics statistics);

// sum = base + added + added_bias and out = layer_norm(sum), the bytes that layer_norm() gives, row
// by row. `sum` may be `base`; `added_bias` may be null.
template <class T>
void residual_layer_norm(MatrixView<const float> base, MatrixView<const float> added,
                         const float* added_bias, LayerNormWeights weights, MatrixView<float> sum,
                         MatrixView<T> out, LayerNormStatistics statistics);

// Gradients of a layer norm for a panel of rows.
struct LayerNormGradient {
  MatrixView<const float> d_out;
  MatrixView<const float> x;
  LayerNormStatistics statistics;
  const float* gain = nullptr;
  MatrixView<const float> d_skip;  // added to d_x: the gradient that went around; may have no data
  MatrixView<float> d_x;           // may be d_out
  MatrixView<bf16> d_x_narrow;     // a copy of d_x; may have no data
  float* d_gain = nullptr;         // sums over these rows, in order of rows (overwritten)
  float* d_bias = nullptr;         // unused in the root-mean-square form
  NormKind kind = NormKind::layer;
};
void layer_norm_backward(const LayerNormGradient& gradient);

namespace reference {

// The same for one row of `cols` elements, in Real (float or double). d_gain and d_bias are added
// to.
template <class Real>
void layer_norm_row(const Real* x, const Real* gain, const Real* bias, int cols, Real* out,
                    Real* mean, Real* rstd, Real epsilon = kLayerNormEpsilon);
template <class Real>
void layer_norm_row_backward(const Real* d_out, const Real* x, Real mean, Real rstd,
                             const Real* gain, int cols, Real* d_x, Real* d_gain, Real* d_bias);

// The root-mean-square form.
template <class Real>
void rms_norm_row(const Real* x, const Real* gain, int cols, Real* out, Real* rstd, Real epsilon);
template <class Real>
void rms_norm_row_backward(const Real* d_out, const Real* x, Real rstd, const Real* gain, int cols,
                           Real* d_x, Real* d_gain);

}  // namespace reference
}  // namespace tutti
