// Elements of vectors on CUDA devices, sixteen bytes at a time. Internal to kernels/vector.
#pragma once

#include <cstdint>
#include <stdexcept>

#include <cuda_instructions.h>
#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

struct HalfBits {
  std::uint16_t bits;
};

__device__ __forceinline__ float as_float(std::uint32_t word, float) {
  return __uint_as_float(word);
}
__device__ __forceinline__ float as_float(std::uint32_t word, bf16) {
  return __uint_as_float(word << 16);
}
__device__ __forceinline__ float as_float(std::uint32_t word, HalfBits) {
  const std::uint32_t sign = (word & 0x8000u) << 16, rest = (word & 0x7fffu) << 13;
  // A smaller exponent's bias; an infinity and a NaN have the largest in either type.
  const float value = (word & 0x7c00u) == 0x7c00u ? __uint_as_float(rest | 0x7f800000u)
                                                  : __uint_as_float(rest) * 0x1p112f;
  return __uint_as_float(__float_as_uint(value) | sign);
}
__device__ __forceinline__ float as_float(std::uint32_t word, std::uint8_t) {
  return float(word & 0xffu);
}
__device__ __forceinline__ float as_float(std::uint32_t word, std::int8_t) {
  return float(static_cast<std::int8_t>(word & 0xffu));
}

template <class T>
inline constexpr int kPacket = 16 / int(sizeof(T));

template <class T>
__device__ __forceinline__ void unpack(const uint4& packet, float (&to)[kPacket<T>]) {
  const std::uint32_t words[4] = {packet.x, packet.y, packet.z, packet.w};
  constexpr int kEach = 4 / int(sizeof(T));
#pragma unroll
  for (int i = 0; i < kPacket<T>; ++i)
    to[i] = as_float(words[i / kEach] >> (i % kEach * 8 * int(sizeof(T))), T());
}

// Calls run(T()) for the type of vectors' elements.
template <class Run>
void with_element(DType type, Run&& run) {
  switch (type) {
    case DType::f32:
      return run(float());
    case DType::bf16:
      return run(bf16());
    case DType::f16:
      return run(HalfBits());
    case DType::u8:
      return run(std::uint8_t());
    case DType::i8:
      return run(std::int8_t());
    default:
      throw std::invalid_argument("vectors must be f32, bf16, f16, u8 or i8");
  }
}

}  // namespace tutti::cuda
