#include "kernels/cuda/product.h"

#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::ProductShape;

// Against plain loops in double: all ways to store the operands, both types, sums on top.
void expect_product(ProductShape s, double tolerance) {
  const auto round = [&](std::vector<float> values) {
    if (s.in == DType::bf16)
      for (float& v : values) v = float(bf16(v));
    return values;
  };
  s.a_stride = s.a_transposed ? 48 : 64;
  s.b_stride = s.b_transposed ? 64 : 40;
  s.c_stride = 40;
  const auto a = round(test::random_values(1, s.a_stride * 64)),
             b = round(test::random_values(2, s.b_stride * 64)), bias = test::random_values(4, s.n);
  auto expected = test::random_values(3, s.m * s.c_stride);
  const auto before = expected;
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = s.accumulate ? double(before[i * 40 + j]) : 0;
      if (s.bias) sum += double(bias[j]);
      for (std::int64_t k = 0; k < s.k; ++k)
        sum += double(a[s.a_transposed ? k * s.a_stride + i : i * s.a_stride + k]) *
               double(b[s.b_transposed ? j * s.b_stride + k : k * s.b_stride + j]);
      expected[i * 40 + j] = float(sum);
    }
  const auto narrow = [](const std::vector<float>& values) {
    std::vector<bf16> rounded;
    for (const float v : values) rounded.emplace_back(v);
    return rounded;
  };
  cuda::Products products;
  const auto db = test::on_device(bias);
  auto c_data = test::on_device(before);
  if (s.in == DType::bf16) {
    const auto na = test::on_device(narrow(a)), nb = test::on_device(narrow(b));
    products.run(s, na.data(), nb.data(), c_data.data(), db.data(), test::stream());
    test::synchronize();
  } else {
    const auto na = test::on_device(a), nb = test::on_device(b);
    products.run(s, na.data(), nb.data(), c_data.data(), db.data(), test::stream());
    test::synchronize();
  }
  test::expect_near(test::on_host(c_data), expected, tolerance, tolerance);
}

TEST(Product, MatchesPlainLoops) {
  for (const DType in : {DType::f32, DType::bf16})
    for (const bool a_transposed : {false, true})
      for (const bool b_transposed : {false, true})
        for (const int extra : {0, 1, 2})
          expect_product({.m = 37,
                          .n = 39,
                          .k = 51,
                          .a_transposed = a_transposed,
                          .b_transposed = b_transposed,
                          .in = in,
                          .out = DType::f32,
                          .accumulate = extra == 1,
                          .bias = extra == 2},
                         1e-4);
}

}  // namespace
}  // namespace tutti
