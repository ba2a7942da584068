// Small integers, whose sums are exact in any order, so that products must agree to the bit; and
// NaN wherever an operand has a gap, so that nothing may be read there.

#include <stdexcept>
#include <tuple>

#include <gtest/gtest.h>

#include "kernels/core/arena.h"
#include "kernels/ops/product.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr float kGap = std::numeric_limits<float>::quiet_NaN();

std::int64_t extent_of(const OperandStride& stride, std::int64_t batch, std::int64_t rows,
                       std::int64_t cols) {
  return (batch - 1) * stride.batch + (rows - 1) * stride.row + (cols - 1) * stride.col + 1;
}

std::vector<bf16> integers(std::uint64_t seed, const OperandStride& stride, std::int64_t batch,
                           std::int64_t rows, std::int64_t cols) {
  std::vector<bf16> values(extent_of(stride, batch, rows, cols), bf16(kGap));
  for (std::int64_t i = 0; i < batch; ++i)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) {
        const std::int64_t at = i * stride.batch + r * stride.row + c * stride.col;
        values[at] = bf16(float(random_u64(seed, 0, at) % 9) - 4.0f);
      }
  return values;
}

ProductShape shape_of(std::int64_t m, std::int64_t n, std::int64_t k, bool a_turned,
                      bool b_turned) {
  ProductShape s{.batch = 2, .m = m, .n = n, .k = k, .in = DType::bf16};
  s.a = a_turned ? OperandStride{(m + 3) * k, 1, m + 3} : OperandStride{m * (k + 5), k + 5, 1};
  s.b = b_turned ? OperandStride{(k + 2) * n, 1, k + 2} : OperandStride{k * (n + 1), n + 1, 1};
  s.c = {m * (n + 4), n + 4, 1};
  return s;
}

template <class T>
std::vector<float> run(const Product& product, const ProductShape& s, const std::vector<bf16>& a,
                       const std::vector<bf16>& b) {
  AlignedBuffer<std::byte> scratch(product.scratch_bytes());
  std::vector<T> c(s.batch * s.c.batch, T(3.0f));
  product.run(a.data(), b.data(), c.data(), scratch.data());
  return test::to_floats(c);
}

void expect_exact(const ProductShape& s) {
  const auto a = integers(1, s.a, s.batch, s.m, s.k), b = integers(2, s.b, s.batch, s.k, s.n);
  const auto ours = avx512_bf16::make_product(s), reference = reference::make_product(s);
  const auto product = s.out == DType::f32 ? &run<float> : &run<bf16>;
  EXPECT_EQ(product(*ours, s, a, b), product(*reference, s, a, b))
      << s.m << " x " << s.n << " x " << s.k;
}

class ProductAvx512Bf16 : public testing::Test {
 protected:
  void SetUp() override {
    if (!avx512_bf16::supports(DType::bf16)) GTEST_SKIP() << "no AVX512_BF16";
  }
};

TEST_F(ProductAvx512Bf16, EqualsTheReferenceForAnyTile) {
  for (const std::int64_t m : {1, 7, 8, 21, 43})
    for (const std::int64_t n : {1, 16, 33, 64, 112, 150})
      for (const std::int64_t k : {1, 2, 37, 64})
        for (const bool a_turned : {false, true})
          for (const bool b_turned : {false, true})
            expect_exact(shape_of(m, n, k, a_turned, b_turned));
}

TEST_F(ProductAvx512Bf16, EqualsTheReferenceForLongSums) {
  for (const bool accumulate : {false, true})
    for (const std::int64_t k : {1024, 1025, 2311}) {
      ProductShape s = shape_of(37, 67, k, true, false);
      s.accumulate = accumulate;
      expect_exact(s);
    }
}

TEST_F(ProductAvx512Bf16, RoundsToBFloat16) {
  for (const bool a_turned : {false, true}) {
    ProductShape s = shape_of(19, 70, 33, a_turned, true);
    s.out = DType::bf16;
    expect_exact(s);
  }
}

TEST_F(ProductAvx512Bf16, NaNSpreadsAlongItsRowAndColumn) {
  const ProductShape s = shape_of(20, 50, 31, false, false);
  auto a = integers(1, s.a, s.batch, s.m, s.k), b = integers(2, s.b, s.batch, s.k, s.n);
  a[3 * s.a.row + 30] = b[7 * s.b.row + 49] = bf16(kGap);
  const auto c = run<float>(*avx512_bf16::make_product(s), s, a, b);
  for (std::int64_t row = 0; row < s.m; ++row)
    for (std::int64_t col = 0; col < s.n; ++col)
      EXPECT_EQ(std::isnan(c[row * s.c.row + col]), row == 3 || col == 49) << row << ", " << col;
}

template <class B>
std::vector<float> run_packed(PackedProduct& product, const PackedShape& s,
                              const std::vector<bf16>& x, const std::vector<B>& b) {
  product.pack(b.data(), dtype_of<B>);
  AlignedBuffer<std::byte> scratch(product.scratch_bytes());
  std::vector<float> y(s.rows * s.y_stride, 3.0f);
  product.run(x.data(), y.data(), scratch.data());
  return y;
}

TEST_F(ProductAvx512Bf16, PackedEqualsTheReference) {
  for (const std::int64_t rows : {5, 64})
    for (const auto& [inner, outer] : {std::pair{1, 1}, {70, 45}, {255, 64}, {600, 113}})
      for (const bool turned : {false, true})
        for (const bool accumulate : {false, true}) {
          const PackedShape s{rows,      inner,       outer,
                              inner + 3, outer + 1,   (turned ? inner : outer) + 2,
                              turned,    DType::bf16, accumulate};
          const auto x = integers(1, {0, s.x_stride, 1}, 1, rows, inner);
          const auto b = turned ? integers(2, {0, s.b_stride, 1}, 1, outer, inner)
                                : integers(2, {0, s.b_stride, 1}, 1, inner, outer);
          const auto ours = avx512_bf16::make_packed_product(s),
                     reference = reference::make_packed_product(s);
          const auto expected = run_packed(*reference, s, x, b);
          EXPECT_EQ(run_packed(*ours, s, x, b), expected);
          EXPECT_EQ(run_packed(*ours, s, x, test::to_floats(b)), expected);
        }
}

TEST_F(ProductAvx512Bf16, RefusesFloats) {
  EXPECT_THROW(avx512_bf16::make_product({.m = 1, .n = 1, .k = 1}), std::invalid_argument);
  EXPECT_THROW(avx512_bf16::make_packed_product({.rows = 1, .inner = 1, .outer = 1}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
