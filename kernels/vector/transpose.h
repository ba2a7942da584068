// Rows into columns, sixteen at a time. Internal to kernels/vector.
#pragma once

#include <cstdint>

#include "kernels/core/clones.h"

namespace tutti {

using Four = float __attribute__((vector_size(16), aligned(4), may_alias));

// out[j * 16 + i] = in[i * stride + j] for i, j < 4.
TUTTI_INLINE void transpose_4x4(const float* in, std::int64_t stride, float* out) {
  const Four a = *reinterpret_cast<const Four*>(in);
  const Four b = *reinterpret_cast<const Four*>(in + stride);
  const Four c = *reinterpret_cast<const Four*>(in + 2 * stride);
  const Four d = *reinterpret_cast<const Four*>(in + 3 * stride);
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  auto* to = reinterpret_cast<Four*>(out);
  to[0] = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  to[4] = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  to[8] = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  to[12] = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

// out[j * 16 + i] = in[i * stride + j] for i < 16, j < count.
inline void transpose(const float* in, std::int64_t stride, std::int64_t count, float* out) {
  std::int64_t j = 0;
  for (; j + 4 <= count; j += 4)
    for (std::int64_t i = 0; i < 16; i += 4)
      transpose_4x4(in + i * stride + j, stride, out + j * 16 + i);
  for (; j < count; ++j)
    for (std::int64_t i = 0; i < 16; ++i) out[j * 16 + i] = in[i * stride + j];
}

}  // namespace tutti
