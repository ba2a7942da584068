#include "kernels/ops/causal_attention_cpu.h"

#include "kernels/core/clones.h"
#include "kernels/ops/vector_math.h"

namespace tutti::cpu {
namespace {

template <class T>
TUTTI_INLINE void backward(const float* scores, const float* d_p, std::int64_t count, float scale,
                           float log_sum, float delta, T* p, T* d_scores) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float e = vector_exp(scale * scores[i] - log_sum);
    const float d = scale * e * (d_p[i] - delta);
    store(p[i], e);
    store(d_scores[i], d);
  }
}

template <class T>
TUTTI_INLINE float dot(const T* __restrict a, const T* __restrict b, std::int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += float(a[i]) * float(b[i]);
  return sum;
}

TUTTI_CLONES void backward_f32(const float* scores, const float* d_p, std::int64_t count,
                               float scale, float log_sum, float delta, float* p, float* d_scores) {
  backward(scores, d_p, count, scale, log_sum, delta, p, d_scores);
}
TUTTI_CLONES void backward_bf16(const float* scores, const float* d_p, std::int64_t count,
                                float scale, float log_sum, float delta, bf16* p, bf16* d_scores) {
  backward(scores, d_p, count, scale, log_sum, delta, p, d_scores);
}
TUTTI_CLONES float dot_f32(const float* a, const float* b, std::int64_t count) {
  return dot(a, b, count);
}
TUTTI_CLONES float dot_bf16(const bf16* a, const bf16* b, std::int64_t count) {
  return dot(a, b, count);
}

}  // namespace

void attend_row_backward(const float* scores, const float* d_p, std::int64_t count, float scale,
                         float log_sum, float delta, float* p, float* d_scores) {
  backward_f32(scores, d_p, count, scale, log_sum, delta, p, d_scores);
}
void attend_row_backward(const float* scores, const float* d_p, std::int64_t count, float scale,
                         float log_sum, float delta, bf16* p, bf16* d_scores) {
  backward_bf16(scores, d_p, count, scale, log_sum, delta, p, d_scores);
}
float dot_row(const float* a, const float* b, std::int64_t count) { return dot_f32(a, b, count); }
float dot_row(const bf16* a, const bf16* b, std::int64_t count) { return dot_bf16(a, b, count); }

}  // namespace tutti::cpu
