#include "kernels/ops/gelu_cpu.h"

#include "kernels/core/clones.h"
#include "kernels/ops/vector_math.h"

namespace tutti::cpu {
namespace {

// (1 + tanh(z)) / 2 is sigmoid(2 z), which costs one exponential and one division.
constexpr float kScale = 1.5957691216057308f;  // 2 sqrt(2 / pi)
constexpr float kCubic = 0.044715f;

template <class T>
TUTTI_INLINE void forward(const float* product, const float* __restrict bias, std::int64_t cols,
                          T* pre, T* __restrict out) {
#pragma omp simd
  for (std::int64_t i = 0; i < cols; ++i) {
    const float u = product[i] + bias[i];
    store(pre[i], u);
    store(out[i], u * vector_sigmoid(kScale * (u + kCubic * u * u * u)));
  }
}

template <class T>
TUTTI_INLINE void backward(const float* d_out, const T* pre, std::int64_t cols, T* d_pre,
                           float* __restrict d_bias) {
#pragma omp simd
  for (std::int64_t i = 0; i < cols; ++i) {
    const float u = float(pre[i]);
    const float s = vector_sigmoid(kScale * (u + kCubic * u * u * u));
    const float slope = kScale * (1.0f + 3.0f * kCubic * u * u);
    const float d = d_out[i] * (s + u * s * (1.0f - s) * slope);
    store(d_pre[i], d);
    d_bias[i] += d;
  }
}

TUTTI_CLONES void forward_f32(const float* product, const float* bias, std::int64_t cols,
                              float* pre, float* out) {
  forward(product, bias, cols, pre, out);
}
TUTTI_CLONES void forward_bf16(const float* product, const float* bias, std::int64_t cols,
                               bf16* pre, bf16* out) {
  forward(product, bias, cols, pre, out);
}
TUTTI_CLONES void backward_f32(const float* d_out, const float* pre, std::int64_t cols,
                               float* d_pre, float* d_bias) {
  backward(d_out, pre, cols, d_pre, d_bias);
}
TUTTI_CLONES void backward_bf16(const float* d_out, const bf16* pre, std::int64_t cols, bf16* d_pre,
                                float* d_bias) {
  backward(d_out, pre, cols, d_pre, d_bias);
}

}  // namespace

void bias_gelu_row(const float* product, const float* bias, std::int64_t cols, float* pre,
                   float* out) {
  forward_f32(product, bias, cols, pre, out);
}
void bias_gelu_row(const float* product, const float* bias, std::int64_t cols, bf16* pre,
                   bf16* out) {
  forward_bf16(product, bias, cols, pre, out);
}
void gelu_backward_row(const float* d_out, const float* pre, std::int64_t cols, float* d_pre,
                       float* d_bias) {
  backward_f32(d_out, pre, cols, d_pre, d_bias);
}
void gelu_backward_row(const float* d_out, const bf16* pre, std::int64_t cols, bf16* d_pre,
                       float* d_bias) {
  backward_bf16(d_out, pre, cols, d_pre, d_bias);
}

}  // namespace tutti::cpu
