// Tiles of bf16 matrices in shared memory, as attention multiplies them. Private to attention.
#pragma once

#include <cstdint>

#include <cuda_instructions.h>
#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

inline constexpr int kAttentionThreads = 128, kAttentionTile = 64;
inline constexpr int kWarpRows = 16;  // of a product: 4 warps make 64

// A tile's rows are `Size` elements, of which the matrix has `size`, and 8 more so that the rows
// of 8 x 8 matrices stand in different banks.
template <int Size>
inline constexpr int kTileStride = Size + 8;

// Starts copies of `Rows` rows from row `first` on, those from `end` on being zeros, as are columns
// behind `size`.
template <int Rows, int Size>
__device__ __forceinline__ void load_tile(bf16* tile, const bf16* from, std::int64_t stride,
                                          int first, int end, int size) {
  constexpr int kPieces = Size / 8;
  for (int i = int(threadIdx.x); i < Rows * kPieces; i += kAttentionThreads) {
    const int row = i / kPieces, column = i % kPieces * 8;
    const bool valid = first + row < end && column < size;
    copy_async_16(tile + row * kTileStride<Size> + column,
                  valid ? from + std::int64_t(first + row) * stride + column : from, valid);
  }
}

// d += A B^T: A is 16 rows of a tile, B `8 * Columns` rows of another, over `Size` columns.
template <int Size, int Columns>
__device__ __forceinline__ void multiply_transposed(float (&d)[Columns][4], const bf16* a,
                                                    const bf16* b) {
  const int lane = int(threadIdx.x) % 32;
  const bf16* a_row = a + lane % 16 * kTileStride<Size> + lane / 16 * 8;
  const bf16* b_row = b + (lane / 16 * 8 + lane % 8) * kTileStride<Size> + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < Size; k += 16) {
    std::uint32_t fragment[4];
    load_matrices(fragment, a_row + k);
#pragma unroll
    for (int n = 0; n < Columns; n += 2) {
      std::uint32_t pair[4];
      load_matrices(pair, b_row + n * 8 * kTileStride<Size> + k);
      mma_bf16_16x8x16(d[n], fragment, {pair[0], pair[1]});
      mma_bf16_16x8x16(d[n + 1], fragment, {pair[2], pair[3]});
    }
  }
}

// d += A B: A is 16 x `8 * Inner` in the registers where a product left it, B as many rows of a
// tile.
template <int Size, int Inner>
__device__ __forceinline__ void multiply(float (&d)[Size / 8][4], const float (&a)[Inner][4],
                                         const bf16* b) {
  const int lane = int(threadIdx.x) % 32;
  const bf16* b_row = b + lane % 16 * kTileStride<Size> + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < Inner; k += 2) {
    const std::uint32_t fragment[4] = {pack_bf16(a[k][0], a[k][1]), pack_bf16(a[k][2], a[k][3]),
                                       pack_bf16(a[k + 1][0], a[k + 1][1]),
                                       pack_bf16(a[k + 1][2], a[k + 1][3])};
#pragma unroll
    for (int n = 0; n < Size / 8; n += 2) {
      std::uint32_t pair[4];
      load_matrices_transposed(pair, b_row + k * 8 * kTileStride<Size> + n * 8);
      mma_bf16_16x8x16(d[n], fragment, {pair[0], pair[1]});
      mma_bf16_16x8x16(d[n + 1], fragment, {pair[2], pair[3]});
    }
  }
}

// Writes 16 rows of a product, those below `end` and columns below `size`, each row times its
// factor; `row` is that of this lane's first element.
template <int Size>
__device__ __forceinline__ void store_rows(const float (&d)[Size / 8][4], bf16* to,
                                           std::int64_t stride, int row, int end, int size,
                                           float factor, float factor8) {
  const int column = int(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int n = 0; n < Size / 8; ++n) {
    if (n * 8 >= size) break;
    auto* at = reinterpret_cast<std::uint32_t*>(to + row * stride + n * 8 + column);
    if (row < end) *at = pack_bf16(d[n][0] * factor, d[n][1] * factor);
    if (row + 8 < end) at[4 * stride] = pack_bf16(d[n][2] * factor8, d[n][3] * factor8);
  }
}

}  // namespace tutti::cuda
