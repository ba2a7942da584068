#include "kernels/ops/softmax_cpu.h"

#include <cmath>

#include "kernels/core/clones.h"
#include "kernels/ops/vector_math.h"

namespace tutti::cpu {
namespace {

struct SoftmaxSums {
  float top, sum;
};

float log_sum(const SoftmaxSums& sums, float scale) {
  return scale * sums.top + std::log(sums.sum);
}

// The exponentials replace the scores, which `out` may be as well.
template <class T>
TUTTI_INLINE SoftmaxSums forward(float* scores, std::int64_t valid, std::int64_t cols, float scale,
                                 T* out) {
  float top = scores[0];
#pragma omp simd reduction(max : top)
  for (std::int64_t i = 0; i < valid; ++i) top = scores[i] > top ? scores[i] : top;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < valid; ++i) {
    const float e = vector_exp(scale * (scores[i] - top));
    scores[i] = e;
    sum += e;
  }
  const float inverse = 1.0f / sum;
#pragma omp simd
  for (std::int64_t i = 0; i < valid; ++i) store(out[i], scores[i] * inverse);
  for (std::int64_t i = valid; i < cols; ++i) store(out[i], 0.0f);
  return {top, sum};
}

template <class T>
TUTTI_INLINE void backward(const T* __restrict p, const float* d_p, std::int64_t valid,
                           std::int64_t cols, float scale, T* d_scores) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < valid; ++i) sum += float(p[i]) * d_p[i];
#pragma omp simd
  for (std::int64_t i = 0; i < valid; ++i) store(d_scores[i], scale * float(p[i]) * (d_p[i] - sum));
  for (std::int64_t i = valid; i < cols; ++i) store(d_scores[i], 0.0f);
}

TUTTI_CLONES SoftmaxSums forward_f32(float* scores, std::int64_t valid, std::int64_t cols,
                                     float scale, float* out) {
  return forward(scores, valid, cols, scale, out);
}

TUTTI_CLONES SoftmaxSums forward_bf16(float* scores, std::int64_t valid, std::int64_t cols,
                                      float scale, bf16* out) {
  return forward(scores, valid, cols, scale, out);
}
TUTTI_CLONES void backward_f32(const float* p, const float* d_p, std::int64_t valid,
                               std::int64_t cols, float scale, float* d_scores) {
  backward(p, d_p, valid, cols, scale, d_scores);
}
TUTTI_CLONES void backward_bf16(const bf16* p, const float* d_p, std::int64_t valid,
                                std::int64_t cols, float scale, bf16* d_scores) {
  backward(p, d_p, valid, cols, scale, d_scores);
}

}  // namespace

float softmax_row(float* scores, std::int64_t valid, std::int64_t cols, float scale, float* out) {
  return log_sum(forward_f32(scores, valid, cols, scale, out), scale);
}
float softmax_row(float* scores, std::int64_t valid, std::int64_t cols, float scale, bf16* out) {
  return log_sum(forward_bf16(scores, valid, cols, scale, out), scale);
}
void softmax_row_backward(const float* p, const float* d_p, std::int64_t valid, std::int64_t cols,
                          float scale, float* d_scores) {
  backward_f32(p, d_p, valid, cols, scale, d_scores);
}
void softmax_row_backward(const bf16* p, const float* d_p, std::int64_t valid, std::int64_t cols,
                          float scale, bf16* d_scores) {
  backward_bf16(p, d_p, valid, cols, scale, d_scores);
}

}  // namespace tutti::cpu
