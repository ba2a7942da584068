// Scalar functions that a compiler can turn into vector code within a loop.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/core/clones.h"
#include "kernels/core/dtype.h"

namespace tutti {

// exp(x) for x in [-87, 88], to within 2 units in the last place; NaN gives NaN. Cephes' expf: 2^n
// times a polynomial of the rest.
TUTTI_INLINE float exp_within_range(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) << 23;
  return p * std::bit_cast<float>(exponent + 0x3f800000u);
}

// exp(x), with arguments clamped to the range above.
TUTTI_INLINE float vector_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  return exp_within_range(x > 88.0f ? 88.0f : x);
}

// 1 / (1 + exp(-x)), with arguments clamped to [-30, 30]: beyond, it is 0 or 1 to within 1e-13.
TUTTI_INLINE float vector_sigmoid(float x) {
  x = x < -30.0f ? -30.0f : x;
  return 1.0f / (1.0f + exp_within_range(x > 30.0f ? -30.0f : -x));
}

}  // namespace tutti
