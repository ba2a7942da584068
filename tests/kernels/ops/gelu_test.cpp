#include "kernels/ops/gelu.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

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

TEST(GeluReference, ExactByHand) {
  const auto exact = [](double u) { return reference::gelu(u, GeluForm::exact); };
  EXPECT_EQ(exact(0.0), 0.0);
  EXPECT_NEAR(exact(1.0), 0.8413447460685429, 1e-15);
  EXPECT_NEAR(exact(-1.0), -0.15865525393145707, 1e-15);
  EXPECT_NEAR(exact(10.0), 10.0, 1e-12);
}

TEST(GeluReference, DerivativeMatchesFiniteDifferences) {
  for (const GeluForm form : {GeluForm::tanh, GeluForm::exact})
    for (double u = -4; u <= 4; u += 0.1)
      EXPECT_NEAR(reference::gelu_derivative(u, form),
                  (reference::gelu(u + 1e-5, form) - reference::gelu(u - 1e-5, form)) / 2e-5, 1e-8);
}

class Gelu : public ::testing::TestWithParam<GeluForm> {};

TEST_P(Gelu, MatchesTheReference) {
  for (const std::int64_t cols : {1, 7, 16, 100}) {
    const std::int64_t rows = 4, stride = cols + 2;
    const auto product = random_values(1, rows * stride, 3), bias = random_values(2, cols);
    std::vector<float> pre(product.size(), 9), out(product.size(), 9), e_pre = pre, e_out = out;
    bias_gelu<float>({product.data(), rows, cols, stride}, bias.data(),
                     {pre.data(), rows, cols, stride}, {out.data(), rows, cols, stride},
                     GetParam());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) {
        e_pre[r * stride + c] = product[r * stride + c] + bias[c];
        e_out[r * stride + c] = reference::gelu(e_pre[r * stride + c], GetParam());
      }
    test::expect_near(pre, e_pre, 1e-6);
    test::expect_near(out, e_out, 1e-6, 1e-6);
  }
}

TEST_P(Gelu, BackwardMatchesTheReference) {
  for (const std::int64_t cols : {1, 7, 16, 100}) {
    const std::int64_t rows = 4;
    const auto d_out = random_values(1, rows * cols);
    auto pre = random_values(2, rows * cols, 3);
    std::vector<float> expected(pre.size()), d_bias(cols, 5), e_bias(cols);
    for (std::size_t i = 0; i < pre.size(); ++i) {
      expected[i] = d_out[i] * reference::gelu_derivative(pre[i], GetParam());
      e_bias[i % cols] += expected[i];
    }
    gelu_backward<float>({d_out.data(), rows, cols}, {pre.data(), rows, cols},
                         {pre.data(), rows, cols}, d_bias.data(), GetParam());
    test::expect_near(pre, expected, 2e-6, 2e-6);
    test::expect_near(d_bias, e_bias, 1e-5);
  }
}

TEST_P(Gelu, BFloat16IsClose) {
  const std::int64_t cols = 37;
  const auto product = random_values(1, cols), bias = random_values(2, cols);
  std::vector<float> pre(cols), out(cols), d_pre(cols), d_bias(cols);
  std::vector<bf16> pre16(cols), out16(cols);
  bias_gelu<float>({product.data(), 1, cols}, bias.data(), {pre.data(), 1, cols},
                   {out.data(), 1, cols}, GetParam());
  bias_gelu<bf16>({product.data(), 1, cols}, bias.data(), {pre16.data(), 1, cols},
                  {out16.data(), 1, cols}, GetParam());
  test::expect_near(test::to_floats(out16), out, 1e-6, 0.004);
  gelu_backward<float>({product.data(), 1, cols}, {pre.data(), 1, cols}, {d_pre.data(), 1, cols},
                       d_bias.data(), GetParam());
  gelu_backward<bf16>({product.data(), 1, cols}, {pre16.data(), 1, cols}, {pre16.data(), 1, cols},
                      d_bias.data(), GetParam());
  test::expect_near(test::to_floats(pre16), d_pre, 0.02, 0.02);
}

TEST_P(Gelu, ExtremesAndNaN) {
  const std::vector<float> product{-1e4f, 1e4f, std::numeric_limits<float>::quiet_NaN(), 0.0f};
  const std::vector<float> bias(4);
  std::vector<float> pre(4), out(4);
  bias_gelu<float>({product.data(), 1, 4}, bias.data(), {pre.data(), 1, 4}, {out.data(), 1, 4},
                   GetParam());
  EXPECT_NEAR(out[0], 0.0f, 1e-8);
  EXPECT_EQ(out[1], 1e4f);
  EXPECT_TRUE(std::isnan(out[2]));
  EXPECT_EQ(out[3], 0.0f);
}

// Over the whole range, tails and all.
TEST_P(Gelu, IsRightToTheLastFewBits) {
  std::vector<float> product, bias(1);
  for (float u = -12; u <= 12; u += 0.0137f) product.push_back(u);
  const std::int64_t rows = std::int64_t(product.size());
  std::vector<float> pre(product.size()), out(product.size()), d_pre(product.size());
  const std::vector<float> ones(product.size(), 1.0f);
  float d_bias = 0;
  bias_gelu<float>({product.data(), rows, 1}, bias.data(), {pre.data(), rows, 1},
                   {out.data(), rows, 1}, GetParam());
  gelu_backward<float>({ones.data(), rows, 1}, {pre.data(), rows, 1}, {d_pre.data(), rows, 1},
                       &d_bias, GetParam());
  for (std::size_t i = 0; i < product.size(); ++i) {
    const double u = double(product[i]);
    EXPECT_NEAR(out[i], reference::gelu(u, GetParam()), 1e-6 * std::max(1.0, std::abs(u)));
    EXPECT_NEAR(d_pre[i], reference::gelu_derivative(u, GetParam()), 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, Gelu, ::testing::Values(GeluForm::tanh, GeluForm::exact),
                         [](const auto& test) {
                           return std::string(test.param == GeluForm::tanh ? "tanh" : "exact");
                         });

TEST(GeluShapes, AreRejectedWhereTheyDiffer) {
  std::vector<float> a(8);
  EXPECT_THROW(bias_gelu<float>({a.data(), 2, 4}, a.data(), {a.data(), 2, 4}, {a.data(), 2, 3}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
