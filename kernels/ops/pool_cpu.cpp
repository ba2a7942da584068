#include "kernels/ops/pool_cpu.h"

#include "kernels/core/clones.h"

namespace tutti::cpu {

TUTTI_CLONES float pool_dot(const float* a, const float* b, std::int64_t size) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

TUTTI_CLONES void pool_scale(float* x, std::int64_t size, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i) x[i] *= factor;
}

TUTTI_CLONES void pool_project(const float* d, const float* embedding, std::int64_t size,
                               float along, float factor, float* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i) out[i] = (d[i] - embedding[i] * along) * factor;
}

}  // namespace tutti::cpu
