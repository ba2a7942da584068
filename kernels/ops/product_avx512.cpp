// f32 products of operands that fit into a core's cache: register tiles of 12 x 32, which read A
// and B where they stand. Without the overhead of a library call, and at any extent without a loss.

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "kernels/core/cpu.h"
#include "kernels/ops/avx512.h"
#include "kernels/ops/product.h"

namespace tutti::avx512 {

#ifdef __x86_64__
namespace {

constexpr int kTileRows = 12;
constexpr int kTileVectors = 2;
constexpr int kLanes = 16;
constexpr std::int64_t kTileCols = kTileVectors * kLanes;

// One tile: C[rows, cols] = or += A[rows, k] B[k, cols]. A(r, i) is a[r * a_row + i * a_col].
struct Tile {
  const float* a;
  std::int64_t a_row, a_col;
  const float* b;
  std::int64_t b_row;
  float* c;
  std::int64_t c_row;
  std::int64_t k;
  __mmask16 last;  // columns of the tile's last vector
  bool accumulate;
};

template <int kRows, int kVectors>
TUTTI_AVX512 void multiply_tile(const Tile& t) {
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_setzero_ps();
  const float* a = t.a;
  const float* b = t.b;
  for (std::int64_t i = 0; i < t.k; ++i, a += t.a_col, b += t.b_row) {
    __m512 row[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      row[v] = v + 1 < kVectors ? _mm512_loadu_ps(b + v * kLanes)
                                : _mm512_maskz_loadu_ps(t.last, b + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const __m512 factor = _mm512_set1_ps(a[r * t.a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_fmadd_ps(factor, row[v], sum[r][v]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* c = t.c + r * t.c_row + v * kLanes;
      const __mmask16 mask = v + 1 < kVectors ? __mmask16(0xffff) : t.last;
      const __m512 before = t.accumulate ? _mm512_maskz_loadu_ps(mask, c) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(c, mask, _mm512_add_ps(before, sum[r][v]));
    }
}

using TileFunction = void (*)(const Tile&);

template <int... kRows>
constexpr std::array<std::array<TileFunction, kTileVectors>, kTileRows> tile_table(
    std::integer_sequence<int, kRows...>) {
  return {{{{&multiply_tile<kRows + 1, 1>, &multiply_tile<kRows + 1, 2>}}...}};
}

constexpr auto kTiles = tile_table(std::make_integer_sequence<int, kTileRows>());

// to[c * to_row + r] = from[r * from_row + c] for r < rows and c < cols.
void transpose(const float* from, std::int64_t from_row, std::int64_t rows, std::int64_t cols,
               float* to, std::int64_t to_row) {
  const std::int64_t whole_rows = rows / kLanes * kLanes, whole_cols = cols / kLanes * kLanes;
  for (std::int64_t r = 0; r < whole_rows; r += kLanes)
    for (std::int64_t c = 0; c < whole_cols; c += kLanes)
      transpose_block(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c)
      to[c * to_row + r] = from[r * from_row + c];
}

class Avx512Product final : public Product {
 public:
  explicit Avx512Product(const ProductShape& shape)
      : shape_(shape), transposed_(shape.b.col != 1) {}

  std::int64_t scratch_bytes() const override {
    return transposed_ ? turned_row() * shape_.k * static_cast<std::int64_t>(sizeof(float)) : 0;
  }

  void run(const void* a, const void* b, void* c, std::byte* scratch) const override {
    const auto& s = shape_;
    auto* turned = reinterpret_cast<float*>(scratch);
    for (std::int64_t i = 0; i < s.batch; ++i) {
      const float* left = static_cast<const float*>(a) + i * s.a.batch;
      const float* right = static_cast<const float*>(b) + i * s.b.batch;
      if (transposed_) transpose(right, s.b.col, s.n, s.k, turned, turned_row());
      multiply(left, transposed_ ? turned : right, static_cast<float*>(c) + i * s.c.batch);
    }
  }

 private:
  std::int64_t turned_row() const { return (shape_.n + kLanes - 1) / kLanes * kLanes; }

  void multiply(const float* a, const float* b, float* c) const {
    const auto& s = shape_;
    const std::int64_t b_row = transposed_ ? turned_row() : s.b.row;
    for (std::int64_t col = 0; col < s.n; col += kTileCols) {
      const std::int64_t cols = std::min(kTileCols, s.n - col);
      const auto vectors = static_cast<int>((cols + kLanes - 1) / kLanes);
      const auto last = static_cast<__mmask16>((1u << (cols - (vectors - 1) * kLanes)) - 1);
      for (std::int64_t row = 0; row < s.m; row += kTileRows) {
        const auto rows = static_cast<int>(std::min<std::int64_t>(kTileRows, s.m - row));
        kTiles[rows - 1][vectors - 1]({a + row * s.a.row, s.a.row, s.a.col, b + col, b_row,
                                       c + row * s.c.row + col, s.c.row, s.k, last, s.accumulate});
      }
    }
  }

  ProductShape shape_;
  bool transposed_;
};

}  // namespace

bool supports(const ProductShape& shape) {
  return shape.in == DType::f32 && shape.out == DType::f32 && cpu_features().avx512;
}

std::unique_ptr<Product> make_product(const ProductShape& shape) {
  if (!supports(shape)) throw std::invalid_argument("product: not for this type or processor");
  return std::make_unique<Avx512Product>(shape);
}
#else
bool supports(const ProductShape&) { return false; }

std::unique_ptr<Product> make_product(const ProductShape&) {
  throw std::invalid_argument("product: not for this processor");
}
#endif

}  // namespace tutti::avx512
