#include "kernels/ops/product.h"

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

std::string label(ProductBackend backend) {
  switch (backend) {
    case ProductBackend::reference:
      return "reference";
    case ProductBackend::onednn:
      return "onednn";
    case ProductBackend::openblas:
      return "openblas";
    default:
      return "automatic";
  }
}

// Operands stored in either order, with gaps.
ProductShape shape_of(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, bool a_t,
                      bool b_t) {
  ProductShape s{batch, m, n, k, {}, {}, {}, DType::f32, DType::f32, false};
  s.a = a_t ? OperandStride{(m + 3) * k, 1, m + 3} : OperandStride{m * (k + 5), k + 5, 1};
  s.b = b_t ? OperandStride{(k + 2) * n, 1, k + 2} : OperandStride{k * (n + 1), n + 1, 1};
  s.c = {m * (n + 4), n + 4, 1};
  return s;
}

template <class T>
std::vector<float> run(const Product& product, const ProductShape& s, const std::vector<T>& a,
                       const std::vector<T>& b, float before) {
  AlignedBuffer<std::byte> scratch(product.scratch_bytes());
  std::vector<float> c(s.batch * s.c.batch, before);
  if (s.out == DType::f32) {
    product.run(a.data(), b.data(), c.data(), scratch.data());
    return c;
  }
  std::vector<bf16> narrow(c.size(), bf16(before));
  product.run(a.data(), b.data(), narrow.data(), scratch.data());
  return test::to_floats(narrow);
}

TEST(ProductReference, ByHand) {
  ProductShape s{1, 2, 2, 3, {6, 3, 1}, {6, 2, 1}, {4, 2, 1}, DType::f32, DType::f32, true};
  const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{1, 0, 0, 1, 2, 3};
  EXPECT_EQ(run(*reference::make_product(s), s, a, b, 100),
            (std::vector<float>{107, 111, 116, 123}));
}

class ProductVariant : public testing::TestWithParam<ProductBackend> {};

TEST_P(ProductVariant, MatchesTheReference) {
  struct Extents {
    std::int64_t batch, m, n, k;
  };
  for (const auto& e : {Extents{1, 1, 1, 1}, Extents{1, 5, 7, 3}, Extents{2, 17, 33, 65},
                        Extents{1, 130, 70, 257}, Extents{1, 29, 160, 40}})
    for (const bool a_t : {false, true})
      for (const bool b_t : {false, true})
        for (const bool accumulate : {false, true}) {
          ProductShape s = shape_of(e.batch, e.m, e.n, e.k, a_t, b_t);
          s.accumulate = accumulate;
          const auto a = random_values(1, s.batch * s.a.batch);
          const auto b = random_values(2, s.batch * s.b.batch);
          test::expect_near(run(*make_product(s, GetParam()), s, a, b, 0.5f),
                            run(*reference::make_product(s), s, a, b, 0.5f), 2e-4);
        }
}

TEST_P(ProductVariant, MatchesTheReferenceInBFloat16) {
  for (const DType out : {DType::f32, DType::bf16})
    for (const bool a_t : {false, true})
      for (const bool b_t : {false, true}) {
        ProductShape s = shape_of(1, 48, 37, 65, a_t, b_t);
        s.in = DType::bf16;
        s.out = out;
        const auto a = random_values<bf16>(1, s.batch * s.a.batch);
        const auto b = random_values<bf16>(2, s.batch * s.b.batch);
        test::expect_near(run(*make_product(s, GetParam()), s, a, b, 0),
                          run(*reference::make_product(s), s, a, b, 0), 1e-3,
                          out == DType::bf16 ? 0.008 : 0);
      }
}

TEST_P(ProductVariant, NaNSpreads) {
  const ProductShape s = shape_of(1, 4, 4, 4, false, false);
  auto a = random_values(1, s.a.batch);
  a[0] = std::numeric_limits<float>::quiet_NaN();
  const auto c = run(*make_product(s, GetParam()), s, a, random_values(2, s.b.batch), 0);
  EXPECT_TRUE(std::isnan(c[0]));
  EXPECT_FALSE(std::isnan(c[s.c.row]));
}

// A product of its own size, called from a serial place and from loops of any number of threads.
TEST_P(ProductVariant, BytesDoNotDependOnThreads) {
  const ProductShape s = shape_of(1, 192, 160, 700, true, false);
  const auto product = make_product(s, GetParam());
  const auto a = random_values(1, s.a.batch), b = random_values(2, s.b.batch);
  test::expect_same_bytes_for_any_threads([&] { return run(*product, s, a, b, 0); });
  test::expect_same_bytes_for_any_threads([&] {
    std::vector<std::vector<float>> results(4);
    parallel_for(4, [&](std::int64_t i) { results[i] = run(*product, s, a, b, 0); });
    EXPECT_TRUE(test::same_bytes(results[0], results[3]));
    return results[1];
  });
}

PackedShape packed_shape(std::int64_t rows, std::int64_t inner, std::int64_t outer, bool transposed,
                         DType in) {
  return {rows,       inner, outer, inner + 3, outer + 1, (transposed ? inner : outer) + 2,
          transposed, in,    false};
}

template <class T, class B>
std::vector<float> run(PackedProduct& product, const PackedShape& s, const std::vector<T>& x,
                       const std::vector<B>& b) {
  product.pack(b.data(), dtype_of<B>);
  AlignedBuffer<std::byte> scratch(product.scratch_bytes());
  std::vector<float> y(s.rows * s.y_stride, 0.5f);
  product.run(x.data(), y.data(), scratch.data());
  return y;
}

TEST_P(ProductVariant, PackedMatchesTheReference) {
  for (const std::int64_t rows : {16, 64})
    for (const bool transposed : {false, true})
      for (const bool accumulate : {false, true}) {
        PackedShape s = packed_shape(rows, 70, 45, transposed, DType::f32);
        s.accumulate = accumulate;
        const auto x = random_values(1, s.rows * s.x_stride);
        const auto b = random_values(2, (transposed ? s.outer : s.inner) * s.b_stride);
        test::expect_near(run(*make_packed_product(s, GetParam()), s, x, b),
                          run(*reference::make_packed_product(s), s, x, b), 1e-4);
      }
}

TEST_P(ProductVariant, PackedMatchesTheReferenceInBFloat16) {
  for (const bool transposed : {false, true}) {
    const PackedShape s = packed_shape(64, 70, 45, transposed, DType::bf16);
    const auto x = random_values<bf16>(1, s.rows * s.x_stride);
    const auto b = random_values(2, (transposed ? s.outer : s.inner) * s.b_stride);
    test::expect_near(run(*make_packed_product(s, GetParam()), s, x, b),
                      run(*reference::make_packed_product(s), s, x, b), 1e-3);
  }
}

TEST_P(ProductVariant, PacksMatricesOfEitherType) {
  for (const DType in : {DType::f32, DType::bf16})
    for (const bool transposed : {false, true}) {
      const PackedShape s = packed_shape(64, 70, 45, transposed, in);
      const auto x = random_values<bf16>(1, s.rows * s.x_stride);
      const auto b = random_values<bf16>(2, (transposed ? s.outer : s.inner) * s.b_stride);
      const auto product = make_packed_product(s, GetParam());
      const std::vector<float> wide_b = test::to_floats(b), wide_x = test::to_floats(x);
      if (in == DType::bf16)
        EXPECT_EQ(run(*product, s, x, b), run(*product, s, x, wide_b));
      else
        EXPECT_EQ(run(*product, s, wide_x, b), run(*product, s, wide_x, wide_b));
    }
}

// Whether it is copied or not; where it is not, changes to it are seen.
TEST_P(ProductVariant, AMatrixThatStaysGivesTheSameProduct) {
  for (const bool transposed : {false, true}) {
    PackedShape s = packed_shape(64, 70, 45, transposed, DType::bf16);
    const auto x = random_values<bf16>(1, s.rows * s.x_stride);
    auto b = random_values<bf16>(2, (transposed ? s.outer : s.inner) * s.b_stride);
    EXPECT_FALSE(make_packed_product(s, GetParam())->in_place());
    const auto copied = run(*make_packed_product(s, GetParam()), s, x, b);
    s.b_stays = true;
    const auto product = make_packed_product(s, GetParam());
    const auto kept = run(*product, s, x, b);
    test::expect_near(kept, copied, 1e-5);
    EXPECT_EQ(run(*product, s, x, std::vector<bf16>(b)), kept);
    if (!product->in_place()) continue;
    EXPECT_THROW(run(*product, s, x, test::to_floats(b)), std::invalid_argument);
    product->pack(b.data(), DType::bf16);
    b.assign(b.size(), bf16(0.0f));
    AlignedBuffer<std::byte> scratch(product->scratch_bytes());
    std::vector<float> y(s.rows * s.y_stride, 0.5f);
    product->run(x.data(), y.data(), scratch.data());
    EXPECT_EQ(y[0], 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ProductVariant,
                         testing::Values(ProductBackend::reference, ProductBackend::onednn,
                                         ProductBackend::openblas, ProductBackend::automatic),
                         [](const auto& backend) { return label(backend.param); });

TEST(Product, RejectsMisuse) {
  const ProductShape good = shape_of(1, 4, 4, 4, false, false);
  ProductShape s = good;
  s.k = 0;
  EXPECT_THROW(make_product(s), std::invalid_argument);
  s = good;
  s.in = DType::f16;
  EXPECT_THROW(make_product(s), std::invalid_argument);
  s = good;
  s.out = DType::bf16;
  s.accumulate = true;
  EXPECT_THROW(make_product(s), std::invalid_argument);
  s = good;
  s.a.col = 2;
  EXPECT_THROW(make_product(s), std::invalid_argument);
  PackedShape packed = packed_shape(4, 4, 4, true, DType::f32);
  packed.y_stride = 3;
  EXPECT_THROW(make_packed_product(packed), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
