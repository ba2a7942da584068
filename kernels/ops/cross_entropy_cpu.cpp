#include "kernels/ops/cross_entropy_cpu.h"

#include "kernels/core/clones.h"
#include "kernels/ops/vector_math.h"

namespace tutti::cpu {
namespace {

template <class T>
TUTTI_INLINE LogitSums sums(const T* __restrict logits, std::int64_t cols) {
  float top = float(logits[0]), all = 0;
#pragma omp simd reduction(max : top) reduction(+ : all)
  for (std::int64_t i = 0; i < cols; ++i) {
    const float x = float(logits[i]);
    top = x > top ? x : top;
    all += x;
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < cols; ++i) sum += vector_exp(float(logits[i]) - top);
  return {top, sum, all};
}

template <class T>
TUTTI_INLINE void gradient(T* __restrict logits, std::int64_t cols, float log_sum_exp, float scale,
                           float shift) {
#pragma omp simd
  for (std::int64_t i = 0; i < cols; ++i)
    store(logits[i], vector_exp(float(logits[i]) - log_sum_exp) * scale - shift);
}

TUTTI_CLONES LogitSums sums_f32(const float* logits, std::int64_t cols) {
  return sums(logits, cols);
}
TUTTI_CLONES LogitSums sums_bf16(const bf16* logits, std::int64_t cols) {
  return sums(logits, cols);
}
TUTTI_CLONES void gradient_f32(float* logits, std::int64_t cols, float log_sum_exp, float scale,
                               float shift) {
  gradient(logits, cols, log_sum_exp, scale, shift);
}
TUTTI_CLONES void gradient_bf16(bf16* logits, std::int64_t cols, float log_sum_exp, float scale,
                                float shift) {
  gradient(logits, cols, log_sum_exp, scale, shift);
}

}  // namespace

LogitSums sum_logits(const float* logits, std::int64_t cols) { return sums_f32(logits, cols); }
LogitSums sum_logits(const bf16* logits, std::int64_t cols) { return sums_bf16(logits, cols); }
void softmax_gradient(float* logits, std::int64_t cols, float log_sum_exp, float scale,
                      float shift) {
  gradient_f32(logits, cols, log_sum_exp, scale, shift);
}
void softmax_gradient(bf16* logits, std::int64_t cols, float log_sum_exp, float scale,
                      float shift) {
  gradient_bf16(logits, cols, log_sum_exp, scale, shift);
}

}  // namespace tutti::cpu
