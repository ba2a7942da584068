#include "kernels/ops/info_nce_cpu.h"

#include <cmath>

#include "kernels/core/clones.h"
#include "kernels/ops/vector_math.h"

namespace tutti::cpu {
namespace {

TUTTI_CLONES float shifted_sum(const float* scores, std::int64_t size, float scale, float top) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < size; ++i) sum += vector_exp(scale * (scores[i] - top));
  return sum;
}

TUTTI_CLONES float largest(const float* scores, std::int64_t size) {
  float top = scores[0];
#pragma omp simd reduction(max : top)
  for (std::int64_t i = 0; i < size; ++i) top = scores[i] > top ? scores[i] : top;
  return top;
}

TUTTI_CLONES void exp_one(float* scores, std::int64_t size, float scale, float shift,
                          float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i)
    scores[i] = factor * vector_exp(scale * scores[i] - shift);
}

TUTTI_CLONES void exp_each(float* scores, std::int64_t size, float scale,
                           const float* __restrict shifts, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i)
    scores[i] = factor * vector_exp(scale * scores[i] - shifts[i]);
}

}  // namespace

float log_sum_exp(const float* scores, std::int64_t size, float scale) {
  const float top = largest(scores, size);
  return scale * top + std::log(shifted_sum(scores, size, scale, top));
}

void exp_row(float* scores, std::int64_t size, float scale, float shift, float factor) {
  exp_one(scores, size, scale, shift, factor);
}

void exp_row(float* scores, std::int64_t size, float scale, const float* shifts, float factor) {
  exp_each(scores, size, scale, shifts, factor);
}

}  // namespace tutti::cpu
