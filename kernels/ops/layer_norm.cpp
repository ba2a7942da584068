#include "kernels/ops/layer_norm.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/ops/layer_norm_cpu.h"

namespace tutti {
namespace {

template <class A, class B>
void check_same(MatrixView<A> a, MatrixView<B> b) {
  if (a.rows != b.rows || a.cols != b.cols || a.cols < 1)
    throw std::invalid_argument("layer norm: shapes differ");
}

}  // namespace

template <class T>
void layer_norm(MatrixView<const float> x, LayerNormWeights weights, MatrixView<T> out,
                LayerNormStatistics statistics) {
  check_same(x, out);
  for (std::int64_t r = 0; r < x.rows; ++r)
    cpu::layer_norm_row({.base = x.row(r),
                         .gain = weights.gain,
                         .bias = weights.bias,
                         .cols = x.cols,
                         .mean = statistics.mean + r,
                         .rstd = statistics.rstd + r,
                         .epsilon = weights.epsilon,
                         .centred = weights.kind == NormKind::layer},
                        out.row(r));
}

template <class T>
void residual_layer_norm(MatrixView<const float> base, MatrixView<const float> added,
                         const float* added_bias, LayerNormWeights weights, MatrixView<float> sum,
                         MatrixView<T> out, LayerNormStatistics statistics) {
  check_same(base, added);
  check_same(base, sum);
  check_same(base, out);
  for (std::int64_t r = 0; r < base.rows; ++r)
    cpu::layer_norm_row({base.row(r), added.row(r), added_bias, sum.row(r), weights.gain,
                         weights.bias, base.cols, statistics.mean + r, statistics.rstd + r,
                         weights.epsilon, weights.kind == NormKind::layer},
                        out.row(r));
}

void layer_norm_backward(const LayerNormGradient& g) {
  check_same(g.d_out, g.x);
  check_same(g.d_out, g.d_x);
  if (g.d_skip.data != nullptr) check_same(g.d_out, g.d_skip);
  if (g.d_x_narrow.data != nullptr) check_same(g.d_out, g.d_x_narrow);
  std::fill_n(g.d_gain, g.x.cols, 0.0f);
  const bool centred = g.kind == NormKind::layer;
  if (centred) std::fill_n(g.d_bias, g.x.cols, 0.0f);
  for (std::int64_t r = 0; r < g.x.rows; ++r)
    cpu::layer_norm_row_backward(
        {g.d_out.row(r), g.x.row(r), g.statistics.mean[r], g.statistics.rstd[r], g.gain,
         g.d_skip.data == nullptr ? nullptr : g.d_skip.row(r), g.x.cols, g.d_x.row(r),
         g.d_x_narrow.data == nullptr ? nullptr : g.d_x_narrow.row(r), g.d_gain, g.d_bias,
         centred});
}

template void layer_norm(MatrixView<const float>, LayerNormWeights, MatrixView<float>,
                         LayerNormStatistics);
template void layer_norm(MatrixView<const float>, LayerNormWeights, MatrixView<bf16>,
                         LayerNormStatistics);
template void residual_layer_norm(MatrixView<const float>, MatrixView<const float>, const float*,
                                  LayerNormWeights, MatrixView<float>, MatrixView<float>,
                                  LayerNormStatistics);
template void residual_layer_norm(MatrixView<const float>, MatrixView<const float>, const float*,
                                  LayerNormWeights, MatrixView<float>, MatrixView<bf16>,
                                  LayerNormStatistics);

}  // namespace tutti
