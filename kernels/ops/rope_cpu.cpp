#include "kernels/ops/rope_cpu.h"

#include "kernels/core/clones.h"

namespace tutti::cpu {
namespace {

template <class T>
TUTTI_INLINE void rotate(T* __restrict a, T* __restrict b, const float* __restrict cos,
                         const float* __restrict sin, float s, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = float(a[i]), y = float(b[i]), turned = s * sin[i];
    store(a[i], x * cos[i] - y * turned);
    store(b[i], y * cos[i] + x * turned);
  }
}

TUTTI_CLONES void rotate_f32(float* a, float* b, const float* cos, const float* sin, float s,
                             std::int64_t count) {
  rotate(a, b, cos, sin, s, count);
}
TUTTI_CLONES void rotate_bf16(bf16* a, bf16* b, const float* cos, const float* sin, float s,
                              std::int64_t count) {
  rotate(a, b, cos, sin, s, count);
}

}  // namespace

void rotate_pairs(float* a, float* b, const float* cos, const float* sin, float s,
                  std::int64_t count) {
  rotate_f32(a, b, cos, sin, s, count);
}
void rotate_pairs(bf16* a, bf16* b, const float* cos, const float* sin, float s,
                  std::int64_t count) {
  rotate_bf16(a, b, cos, sin, s, count);
}

}  // namespace tutti::cpu
