#include "kernels/ops/bf16_tile.h"

#ifdef __x86_64__

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "kernels/core/prefetch.h"
#include "kernels/ops/avx512.h"

namespace tutti::avx512_bf16 {
namespace {

#define TUTTI_AVX512_BF16_INLINE TUTTI_AVX512_BF16 inline __attribute__((always_inline))

constexpr std::int64_t kLanes = PairPanels::kLanes;
constexpr int kMostVectors = 3;

// One tile: as PanelProduct, of a number of rows and vectors that is known.
struct Tile {
  const bf16* a;
  std::int64_t a_row;
  const bf16* b;
  float* c;
  std::int64_t c_row, cols, inner;
  bool accumulate;
};

TUTTI_AVX512_BF16_INLINE __m512bh load_pairs(const bf16* at) {
  return (__m512bh)_mm512_load_si512(at);
}

TUTTI_AVX512_BF16_INLINE __m512bh broadcast_pair(const bf16* at) {
  std::int32_t pair;
  std::memcpy(&pair, at, sizeof(pair));
  return (__m512bh)_mm512_set1_epi32(pair);
}

TUTTI_AVX512_BF16_INLINE __mmask16 columns_mask(std::int64_t cols, int vector) {
  const std::int64_t left = cols - vector * kLanes;
  return static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1);
}

// Adds the products of a pair of columns of A, or of the last one where it has no partner: what
// stands behind it is not ours.
template <int kRows, int kVectors>
TUTTI_AVX512_BF16_INLINE void add_pair(__m512 (&sum)[kRows][kVectors], const bf16* a,
                                       std::int64_t a_row, bool whole, const bf16* b) {
  __m512bh right[kVectors];
#pragma GCC unroll 3
  for (int v = 0; v < kVectors; ++v) right[v] = load_pairs(b + 2 * v * kLanes);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const __m512bh left =
        whole ? broadcast_pair(a + r * a_row) : (__m512bh)_mm512_set1_epi32(a[r * a_row].bits);
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], left, right[v]);
  }
}

template <int kRows, int kVectors, bool kPacked>
TUTTI_AVX512_BF16 void multiply_tile(const Tile& t) {
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = _mm512_setzero_ps();
      __builtin_prefetch(t.c + r * t.c_row + v * kLanes, 1);
    }
  const bf16* a = t.a;
  const bf16* b = t.b;
  const std::int64_t row = kPacked ? 2 : t.a_row;
  for (std::int64_t pair = 0; pair < t.inner / 2; ++pair) {
    add_pair(sum, a, row, true, b);
    a += kPacked ? 2 * kTileRows : 2;
    b += 2 * kVectors * kLanes;
  }
  if (t.inner % 2 != 0) add_pair(sum, a, row, false, b);
#pragma GCC unroll 3
  for (int v = 0; v < kVectors; ++v) {
    const __mmask16 mask = columns_mask(t.cols, v);
    const __mmask16 added = t.accumulate ? mask : __mmask16{0};
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      float* c = t.c + r * t.c_row + v * kLanes;
      _mm512_mask_storeu_ps(c, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(added, c), sum[r][v]));
    }
  }
}

using TileFunction = void (*)(const Tile&);
using TileTable = std::array<std::array<TileFunction, kMostVectors>, kTileRows>;

template <bool kPacked, int... kRows>
constexpr TileTable tile_table(std::integer_sequence<int, kRows...>) {
  return {{{{&multiply_tile<kRows + 1, 1, kPacked>, &multiply_tile<kRows + 1, 2, kPacked>,
             &multiply_tile<kRows + 1, 3, kPacked>}}...}};
}

constexpr auto kAnyRows = std::make_integer_sequence<int, kTileRows>();
constexpr TileTable kTiles = tile_table<false>(kAnyRows), kPackedTiles = tile_table<true>(kAnyRows);

// Rows [from, to) of what comes next. A line that no one needs in the end does no harm.
void fetch(const Ahead& ahead, std::int64_t from, std::int64_t to) {
  const auto* data = static_cast<const std::byte*>(ahead.data);
  for (std::int64_t r = from; r < to; ++r) prefetch(data + r * ahead.stride, ahead.bytes);
}

// The first `count` elements of 16 as bf16, one in the lower half of each lane.
TUTTI_AVX512_BF16_INLINE __m512i load_halves(const bf16* at, std::int64_t count) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns_mask(count, 0), at));
}
TUTTI_AVX512_BF16_INLINE __m512i load_halves(const float* at, std::int64_t count) {
  const __m512 wide = _mm512_maskz_loadu_ps(columns_mask(count, 0), at);
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(wide));
}

// The pairs of 16 columns of two rows, where there is a second one.
template <class T>
TUTTI_AVX512_BF16_INLINE __m512i load_pairs(const T* low, const T* high, std::int64_t cols) {
  const __m512i first = load_halves(low, cols);
  if (high == nullptr) return first;
  return _mm512_or_si512(first, _mm512_slli_epi32(load_halves(high, cols), 16));
}

// The first `count` elements of 32 in a row, as bf16.
TUTTI_AVX512_BF16_INLINE __m512i load_row(const bf16* at, std::int64_t count) {
  return _mm512_maskz_loadu_epi16(count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1, at);
}
TUTTI_AVX512_BF16_INLINE __m512i load_row(const float* at, std::int64_t count) {
  const __m512 low = _mm512_maskz_loadu_ps(columns_mask(count, 0), at),
               high = count > kLanes ? _mm512_maskz_loadu_ps(columns_mask(count, 1), at + kLanes)
                                     : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// `cols` columns of B, which stand in rows of their own, to the pairs of `width` columns.
template <class T>
TUTTI_AVX512_BF16 void pack_columns(const T* b, std::int64_t stride, std::int64_t cols,
                                    std::int64_t inner, std::int64_t width, bf16* to) {
  alignas(64) float rows[kLanes * kLanes], turned[kLanes * kLanes];
  for (std::int64_t c = 0; c < width; c += kLanes)
    for (std::int64_t k = 0; k < inner; k += 2 * kLanes) {
      for (std::int64_t i = 0; i < kLanes; ++i)
        _mm512_store_si512(rows + i * kLanes, c + i < cols
                                                  ? load_row(b + (c + i) * stride + k, inner - k)
                                                  : _mm512_setzero_si512());
      avx512::transpose_block(rows, kLanes, turned, kLanes);
      const std::int64_t pairs = std::min(kLanes, (inner - k + 1) / 2);
      for (std::int64_t p = 0; p < pairs; ++p)
        _mm512_store_si512(to + 2 * ((k / 2 + p) * width + c),
                           _mm512_load_si512(turned + p * kLanes));
    }
}

template <class T>
TUTTI_AVX512_BF16 void pack_interleaved(const T* b, std::int64_t stride, std::int64_t cols,
                                        std::int64_t inner, std::int64_t width, bf16* to) {
  for (std::int64_t k = 0; k < inner; k += 2) {
    const T* low = b + k * stride;
    const T* high = k + 1 < inner ? low + stride : nullptr;
    for (std::int64_t c = 0; c < width; c += kLanes, to += 2 * kLanes)
      _mm512_store_si512(
          to, c < cols ? load_pairs(low + c, high == nullptr ? nullptr : high + c, cols - c)
                       : _mm512_setzero_si512());
  }
}

// 32 rows of A, a cache line of each of its columns, to four tiles.
TUTTI_AVX512_BF16 void pack_tiles(const bf16* a, std::int64_t stride, std::int64_t rows,
                                  std::int64_t inner, bf16* to) {
  constexpr std::int64_t kFetchedColumns = 16;
  const std::int64_t tile = kTileRows * (inner + inner % 2);
  for (std::int64_t k = 0; k < inner; k += 2, to += 2 * kTileRows) {
    const bf16* low = a + k * stride;
    const bf16* high = k + 1 < inner ? low + stride : nullptr;
    __builtin_prefetch(low + kFetchedColumns * stride);
    __builtin_prefetch(low + (kFetchedColumns + 1) * stride);
    for (std::int64_t r = 0; r < rows; r += kLanes) {
      const __m512i pairs = load_pairs(low + r, high == nullptr ? nullptr : high + r, rows - r);
      bf16* tiles = to + r / kTileRows * tile;
      _mm256_store_si256(reinterpret_cast<__m256i*>(tiles), _mm512_castsi512_si256(pairs));
      _mm256_store_si256(reinterpret_cast<__m256i*>(tiles + tile),
                         _mm512_extracti64x4_epi64(pairs, 1));
    }
  }
}

}  // namespace

template <class T>
void pack_panel(const PairPanels& panels, std::int64_t panel, Operand<T> b, std::int64_t inner,
                bf16* packed) {
  const std::int64_t cols = panels.cols(panel), width = panels.vectors(panel) * kLanes;
  const T* first = b.data + panels.first(panel) * b.col;
  if (b.col == 1)
    pack_interleaved(first, b.row, cols, inner, width, packed);
  else
    pack_columns(first, b.col, cols, inner, width, packed);
}

template void pack_panel(const PairPanels&, std::int64_t, Operand<float>, std::int64_t, bf16*);
template void pack_panel(const PairPanels&, std::int64_t, Operand<bf16>, std::int64_t, bf16*);

std::int64_t packed_rows_elements(std::int64_t rows, std::int64_t inner) {
  return (rows + kLanes - 1) / kLanes * kLanes * (inner + inner % 2);
}

void pack_rows(Operand<bf16> a, std::int64_t rows, std::int64_t inner, bf16* packed) {
  for (std::int64_t r = 0; r < rows; r += 2 * kLanes)
    pack_tiles(a.data + r, a.col, std::min(2 * kLanes, rows - r), inner,
               packed + r * (inner + inner % 2));
}

void multiply_panel(const PanelProduct& p) {
  const TileTable& table = p.a_packed ? kPackedTiles : kTiles;
  const std::int64_t a_step = kTileRows * (p.a_packed ? p.inner + p.inner % 2 : p.a_row);
  Tile tile{p.a, p.a_row, p.b, p.c, p.c_row, p.cols, p.inner, p.accumulate};
  for (std::int64_t row = 0; row < p.rows; row += kTileRows) {
    const std::int64_t rows = std::min(kTileRows, p.rows - row);
    fetch(p.ahead, p.ahead.rows * row / p.rows, p.ahead.rows * (row + rows) / p.rows);
    table[rows - 1][p.vectors - 1](tile);
    tile.a += a_step;
    tile.c += kTileRows * p.c_row;
  }
}

}  // namespace tutti::avx512_bf16
#endif
