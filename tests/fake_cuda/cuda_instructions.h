// The machine's own instructions, of kernels/cuda/ptx/cuda_instructions.h, on the CPU.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(fake_cuda::dynamic_shared());
}

inline bf16 to_bf16(float value) { return bf16(value); }
inline std::uint32_t pack_bf16(float low, float high) {
  return std::uint32_t(bf16(low).bits) | std::uint32_t(bf16(high).bits) << 16;
}
inline float bf16_low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
inline float bf16_high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

inline float fast_exp2(float x) { return std::exp2(x); }

// In the same order, but all at once.
template <class T, class Combine>
T warp_reduce(const char* name, T value, Combine&& combine) {
  return fake_cuda::collective(name, kAllLanes, value, [&](const T* all) {
    T lanes[32];
    std::copy_n(all, 32, lanes);
    for (int apart = 16; apart > 0; apart /= 2)
      for (int i = 0; i < apart; ++i) lanes[i] = combine(lanes[i], lanes[i + apart]);
    return lanes[0];
  });
}
template <class T>
T warp_sum(T value) {
  return warp_reduce("warp_sum", value, [](T a, T b) { return a + b; });
}
inline float warp_max(float value) {
  return warp_reduce("warp_max", value, [](float a, float b) { return std::fmax(a, b); });
}

inline void copy_async_16(void* shared, const void* global, bool valid = true) {
  static constexpr std::byte kZeros[16] = {};
  fake_cuda::start_copy(shared, valid ? global : kZeros, 16);
}
inline void commit_copies() { fake_cuda::commit_copies(); }
template <int groups_left>
void wait_copies() {
  fake_cuda::wait_copies(groups_left);
}

namespace fake {

struct MmaOperands {
  std::uint32_t a[4], b[2];
};

inline float half_of(std::uint32_t pair, int index) {
  return index == 0 ? bf16_low(pair) : bf16_high(pair);
}
// A[row][k] and B[k][column], from the lanes that hold them.
inline float a_at(const MmaOperands* all, int row, int k) {
  const int reg = (row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0);
  return half_of(all[row % 8 * 4 + k % 8 / 2].a[reg], k % 2);
}
inline float b_at(const MmaOperands* all, int k, int column) {
  return half_of(all[column * 4 + k % 8 / 2].b[k >= 8 ? 1 : 0], k % 2);
}

}  // namespace fake

inline void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]) {
  const fake::MmaOperands mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const int lane = int(fake_cuda::lane()), row = lane / 4, column = lane % 4 * 2;
  fake_cuda::collective("mma_bf16_16x8x16", kAllLanes, mine, [&](const fake::MmaOperands* all) {
    for (int i = 0; i < 4; ++i)
      for (int k = 0; k < 16; ++k)
        d[i] += fake::a_at(all, row + (i >= 2 ? 8 : 0), k) * fake::b_at(all, k, column + i % 2);
    return 0;
  });
}

namespace fake {

template <bool transposed>
void load_matrices(std::uint32_t (&to)[4], const void* row) {
  const auto* mine = static_cast<const std::uint16_t*>(row);
  const int lane = int(fake_cuda::lane());
  using Row = const std::uint16_t*;
  fake_cuda::collective(
      transposed ? "load_matrices_transposed" : "load_matrices", kAllLanes, mine,
      [&](const Row* rows) {
        for (int m = 0; m < 4; ++m) {
          const auto at = [&](int r, int c) { return std::uint32_t(rows[m * 8 + r][c]); };
          const int r = lane / 4, c = lane % 4 * 2;
          to[m] = transposed ? at(c, r) | at(c + 1, r) << 16 : at(r, c) | at(r, c + 1) << 16;
        }
        return 0;
      });
}

}  // namespace fake

inline void load_matrices(std::uint32_t (&to)[4], const void* row) {
  fake::load_matrices<false>(to, row);
}
inline void load_matrices_transposed(std::uint32_t (&to)[4], const void* row) {
  fake::load_matrices<true>(to, row);
}

}  // namespace tutti::cuda
