// Eight elements of a row at a time, as floats: 16 bytes of bf16, 32 of float.
#pragma once

#include <cstdint>

#include <cuda_instructions.h>
#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

inline constexpr int kChunk = 8;

template <class T>
__device__ __forceinline__ bool is_aligned(const T* at) {
  return reinterpret_cast<std::uintptr_t>(at) % 16 == 0;
}

// The first `valid` (any number) of eight elements; the others are zero.
__device__ __forceinline__ void load_chunk(const float* from, std::int64_t valid,
                                           float (&to)[kChunk]) {
  if (valid >= kChunk && is_aligned(from)) {
    const float4 low = *reinterpret_cast<const float4*>(from),
                 high = *reinterpret_cast<const float4*>(from + 4);
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) to[i] = i < valid ? from[i] : 0.0f;
}

__device__ __forceinline__ void load_chunk(const bf16* from, std::int64_t valid,
                                           float (&to)[kChunk]) {
  if (valid >= kChunk && is_aligned(from)) {
    const uint4 pairs = *reinterpret_cast<const uint4*>(from);
    const std::uint32_t four[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) to[2 * i] = bf16_low(four[i]), to[2 * i + 1] = bf16_high(four[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i) to[i] = i < valid ? bf16_low(std::uint32_t(from[i].bits)) : 0.0f;
}

__device__ __forceinline__ void store_one(float* to, float value) { *to = value; }
__device__ __forceinline__ void store_one(bf16* to, float value) { *to = to_bf16(value); }

__device__ __forceinline__ float load_one(const float* from) { return *from; }
__device__ __forceinline__ float load_one(const bf16* from) {
  return bf16_low(std::uint32_t(from->bits));
}

__device__ __forceinline__ void store_chunk(float* to, std::int64_t valid,
                                            const float (&from)[kChunk]) {
  if (valid >= kChunk && is_aligned(to)) {
    *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    *reinterpret_cast<float4*>(to + 4) = make_float4(from[4], from[5], from[6], from[7]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    if (i < valid) to[i] = from[i];
}

__device__ __forceinline__ void store_chunk(bf16* to, std::int64_t valid,
                                            const float (&from)[kChunk]) {
  if (valid >= kChunk && is_aligned(to)) {
    *reinterpret_cast<uint4*>(to) =
        make_uint4(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]),
                   pack_bf16(from[4], from[5]), pack_bf16(from[6], from[7]));
    return;
  }
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    if (i < valid) to[i] = to_bf16(from[i]);
}

}  // namespace tutti::cuda
