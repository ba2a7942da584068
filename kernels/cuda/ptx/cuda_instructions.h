// The machine's own instructions, for sm_80 and later. Tests take a header of the same name in its
// place (tests/fake_cuda), which does the same on the CPU.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

// The block's dynamic shared memory, aligned to 128 bytes.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char tutti_dynamic_shared[];
  return reinterpret_cast<T*>(tutti_dynamic_shared);
}

// Two bf16 in a register, the first in its lower half; rounded to nearest, ties to even.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
__device__ __forceinline__ bf16 to_bf16(float value) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bf16::from_bits(bits);
}
__device__ __forceinline__ float bf16_low(std::uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float bf16_high(std::uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

// 2^x to about 2^-22; a subnormal result is zero.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The sum, and the largest, of a warp's values, on every lane: pairs 16 lanes apart first.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kAllLanes, value, lanes);
  return value;
}

__device__ __forceinline__ float warp_max(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, lanes));
  return value;
}

// Starts a copy of 16 bytes, aligned to as many, to shared memory: zeros where not `valid`. It has
// arrived once its thread waited for the group that it was committed with.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid = true) {
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until no more than the last `groups_left` groups of this thread are under way.
template <int groups_left>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
}

// D += A B on the tensor cores, by a whole warp: A 16 x 16, B 16 x 8 of bf16, D 16 x 8 of float, in
// the fragments of mma.sync.m16n8k16. With row = lane / 4 and column = lane % 4 * 2:
//   a[0]: A[row][column, +1]     a[1]: A[row + 8][column, +1]   a[2], a[3]: those 8 columns on
//   b[0]: B[column, +1][row]     b[1]: B[column + 8, +1][row]
//   d[0], d[1]: D[row][column, +1]       d[2], d[3]: D[row + 8][column, +1]
__device__ __forceinline__ void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4],
                                                 const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 x 8 bf16 from shared memory, by a whole warp: lane 8 m + r brings the address
// of row r of matrix m, aligned to 16 bytes. to[m] holds elements [lane / 4][lane % 4 * 2, +1] of
// matrix m, or of its transpose.
__device__ __forceinline__ void load_matrices(std::uint32_t (&to)[4], const void* row) {
  const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&to)[4], const void* row) {
  const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(from)
               : "memory");
}

}  // namespace tutti::cuda
