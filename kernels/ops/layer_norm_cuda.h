// Layer normalisation in the device's memory, as layer_norm.h says; in the stream. A row is of no
// more than kNormColumns columns. T (float or bf16) is the type of products.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/layer_norm.h"

namespace tutti::cuda {

inline constexpr std::int64_t kNormColumns = 8192;

// sum = base (+ added + added_bias), out = layer_norm(sum). Where there is nothing added, `sum` has
// no data.
template <class T>
struct NormForward {
  MatrixView<const float> base;
  MatrixView<const T> added;
  const float* added_bias = nullptr;
  LayerNormWeights weights;
  MatrixView<float> sum;
  MatrixView<T> out;
  LayerNormStatistics statistics;
};
template <class T>
void layer_norm(const NormForward<T>& norm, cudaStream_t stream);

// Gradients, and the sums over rows that follow from them, by slabs of rows (rows_cuda.h):
// partials[slab] holds those of the gain, of the bias and of d_x, side by side.
template <class T>
struct NormBackward {
  MatrixView<const T> d_out;
  MatrixView<const float> x;
  LayerNormStatistics statistics;
  const float* gain = nullptr;
  MatrixView<const float> d_skip;  // added to d_x; may have no data
  MatrixView<float> d_x;
  MatrixView<T> d_x_narrow;  // a copy of it; may have no data
  MatrixView<float> partials;
  NormKind kind = NormKind::layer;
};
template <class T>
void layer_norm_backward(const NormBackward<T>& norm, cudaStream_t stream);

}  // namespace tutti::cuda
