#include "kernels/ops/gelu.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(GeluReference, ByHand) {
  EXPECT_EQ(reference::gelu(0.0), 0.0);
  EXPECT_NEAR(reference::gelu(1.0), 0.841192, 1e-6);
  EXPECT_NEAR(reference::gelu(-1.0), -0.158808, 1e-6);
  EXPECT_NEAR(reference::gelu(10.0), 10.0, 1e-9);
}

TEST(GeluReference, DerivativeMatchesFiniteDifferences) {
  for (double u = -4; u <= 4; u += 0.1)
    EXPECT_NEAR(reference::gelu_derivative(u),
                (reference::gelu(u + 1e-5) - reference::gelu(u - 1e-5)) / 2e-5, 1e-8);
}

TEST(Gelu, MatchesTheReference) {
  for (const std::int64_t cols : {1, 7, 16, 100}) {
    const std::int64_t rows = 4, stride = cols + 2;
    const auto product = random_values(1, rows * stride, 3), bias = random_values(2, cols);
    std::vector<float> pre(product.size(), 9), out(product.size(), 9), e_pre = pre, e_out = out;
    bias_gelu<float>({product.data(), rows, cols, stride}, bias.data(),
                     {pre.data(), rows, cols, stride}, {out.data(), rows, cols, stride});
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) {
        e_pre[r * stride + c] = product[r * stride + c] + bias[c];
        e_out[r * stride + c] = reference::gelu(e_pre[r * stride + c]);
      }
    test::expect_near(pre, e_pre, 1e-6);
    test::expect_near(out, e_out, 1e-6, 1e-6);
  }
}

TEST(Gelu, BackwardMatchesTheReference) {
  for (const std::int64_t cols : {1, 7, 16, 100}) {
    const std::int64_t rows = 4;
    const auto d_out = random_values(1, rows * cols);
    auto pre = random_values(2, rows * cols, 3);
    std::vector<float> expected(pre.size()), d_bias(cols, 5), e_bias(cols);
    for (std::size_t i = 0; i < pre.size(); ++i) {
      expected[i] = d_out[i] * reference::gelu_derivative(pre[i]);
      e_bias[i % cols] += expected[i];
    }
    gelu_backward<float>({d_out.data(), rows, cols}, {pre.data(), rows, cols},
                         {pre.data(), rows, cols}, d_bias.data());
    test::expect_near(pre, expected, 2e-6, 2e-6);
    test::expect_near(d_bias, e_bias, 1e-5);
  }
}

TEST(Gelu, BFloat16IsClose) {
  const std::int64_t cols = 37;
  const auto product = random_values(1, cols), bias = random_values(2, cols);
  std::vector<float> pre(cols), out(cols), d_pre(cols), d_bias(cols);
  std::vector<bf16> pre16(cols), out16(cols);
  bias_gelu<float>({product.data(), 1, cols}, bias.data(), {pre.data(), 1, cols},
                   {out.data(), 1, cols});
  bias_gelu<bf16>({product.data(), 1, cols}, bias.data(), {pre16.data(), 1, cols},
                  {out16.data(), 1, cols});
  test::expect_near(test::to_floats(out16), out, 1e-6, 0.004);
  gelu_backward<float>({product.data(), 1, cols}, {pre.data(), 1, cols}, {d_pre.data(), 1, cols},
                       d_bias.data());
  gelu_backward<bf16>({product.data(), 1, cols}, {pre16.data(), 1, cols}, {pre16.data(), 1, cols},
                      d_bias.data());
  test::expect_near(test::to_floats(pre16), d_pre, 0.02, 0.02);
}

TEST(Gelu, ExtremesAndNaN) {
  const std::vector<float> product{-1e4f, 1e4f, std::numeric_limits<float>::quiet_NaN(), 0.0f};
  const std::vector<float> bias(4);
  std::vector<float> pre(4), out(4);
  bias_gelu<float>({product.data(), 1, 4}, bias.data(), {pre.data(), 1, 4}, {out.data(), 1, 4});
  EXPECT_NEAR(out[0], 0.0f, 1e-8);
  EXPECT_EQ(out[1], 1e4f);
  EXPECT_TRUE(std::isnan(out[2]));
  EXPECT_EQ(out[3], 0.0f);
}

TEST(Gelu, RejectsDifferentShapes) {
  std::vector<float> a(8);
  EXPECT_THROW(bias_gelu<float>({a.data(), 2, 4}, a.data(), {a.data(), 2, 4}, {a.data(), 2, 3}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
