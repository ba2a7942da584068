#include "kernels/ops/layer_norm.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(LayerNormReference, ByHand) {
  const double x[2] = {1, 3}, gain[2] = {2, 1}, bias[2] = {0, 5};
  double out[2], mean, rstd;
  reference::layer_norm_row(x, gain, bias, 2, out, &mean, &rstd);
  EXPECT_DOUBLE_EQ(mean, 2);
  EXPECT_NEAR(rstd, 1, 1e-5);
  EXPECT_NEAR(out[0], -2, 1e-4);
  EXPECT_NEAR(out[1], 6, 1e-4);
}

TEST(LayerNormReference, GradientMatchesFiniteDifferences) {
  constexpr int kCols = 7;
  const auto x = test::to_doubles(random_values(1, kCols));
  const auto gain = test::to_doubles(random_values(2, kCols));
  const auto bias = test::to_doubles(random_values(3, kCols));
  const auto d_out = test::to_doubles(random_values(4, kCols));
  const auto loss = [&](const auto& at_x, const auto& at_gain, const auto& at_bias) {
    double out[kCols], mean, rstd, sum = 0;
    reference::layer_norm_row(at_x.data(), at_gain.data(), at_bias.data(), kCols, out, &mean,
                              &rstd);
    for (int i = 0; i < kCols; ++i) sum += out[i] * d_out[i];
    return sum;
  };
  double out[kCols], mean, rstd;
  reference::layer_norm_row(x.data(), gain.data(), bias.data(), kCols, out, &mean, &rstd);
  std::vector<double> d_x(kCols), d_gain(kCols), d_bias(kCols);
  reference::layer_norm_row_backward(d_out.data(), x.data(), mean, rstd, gain.data(), kCols,
                                     d_x.data(), d_gain.data(), d_bias.data());
  using test::finite_differences;
  test::expect_near(d_x, finite_differences(x, [&](const auto& v) { return loss(v, gain, bias); }),
                    1e-6);
  test::expect_near(
      d_gain, finite_differences(gain, [&](const auto& v) { return loss(x, v, bias); }), 1e-6);
  test::expect_near(
      d_bias, finite_differences(bias, [&](const auto& v) { return loss(x, gain, v); }), 1e-6);
}

TEST(RootMeanSquareNormReference, ByHandAndByFiniteDifferences) {
  const double two[2] = {3, 4}, ones[2] = {1, 1};
  double unit[2], rstd;
  reference::rms_norm_row(two, ones, 2, unit, &rstd, 0.0);
  EXPECT_NEAR(unit[0], 3 / std::sqrt(12.5), 1e-12);
  constexpr int kCols = 7;
  const auto x = test::to_doubles(random_values(1, kCols)),
             gain = test::to_doubles(random_values(2, kCols)),
             d_out = test::to_doubles(random_values(4, kCols));
  const auto loss = [&](const auto& at_x, const auto& at_gain) {
    double out[kCols], r, sum = 0;
    reference::rms_norm_row(at_x.data(), at_gain.data(), kCols, out, &r, 1e-6);
    for (int i = 0; i < kCols; ++i) sum += out[i] * d_out[i];
    return sum;
  };
  double out[kCols];
  std::vector<double> d_x(kCols), d_gain(kCols);
  reference::rms_norm_row(x.data(), gain.data(), kCols, out, &rstd, 1e-6);
  reference::rms_norm_row_backward(d_out.data(), x.data(), rstd, gain.data(), kCols, d_x.data(),
                                   d_gain.data());
  using test::finite_differences;
  test::expect_near(d_x, finite_differences(x, [&](const auto& v) { return loss(v, gain); }), 1e-6);
  test::expect_near(d_gain, finite_differences(gain, [&](const auto& v) { return loss(x, v); }),
                    1e-6);
}

struct Case {
  std::int64_t rows = 5, cols, stride = cols + 3;
  std::vector<float> base = random_values(1, rows*stride), added = random_values(2, rows*stride),
                     added_bias = random_values(3, cols), gain = random_values(4, cols),
                     bias = random_values(5, cols);
  std::vector<float> mean = std::vector<float>(rows), rstd = mean;

  explicit Case(std::int64_t columns) : cols(columns) {}
  MatrixView<float> view(std::vector<float>& v) const { return {v.data(), rows, cols, stride}; }
};

TEST(LayerNorm, MatchesTheReference) {
  for (const std::int64_t cols : {1, 5, 16, 33, 100, 256}) {
    Case c(cols);
    std::vector<float> out(c.rows * c.stride, 9.0f);
    layer_norm<float>(c.view(c.base), {c.gain.data(), c.bias.data()}, c.view(out),
                      {c.mean.data(), c.rstd.data()});
    std::vector<float> expected(c.rows * c.stride, 9.0f), mean(c.rows), rstd(c.rows);
    for (std::int64_t r = 0; r < c.rows; ++r)
      reference::layer_norm_row(&c.base[r * c.stride], c.gain.data(), c.bias.data(),
                                static_cast<int>(cols), &expected[r * c.stride], &mean[r],
                                &rstd[r]);
    test::expect_near(out, expected, 1e-4, 1e-5);
    test::expect_near(c.mean, mean, 1e-5);
    test::expect_near(c.rstd, rstd, 1e-4, 1e-5);
  }
}

TEST(LayerNorm, ResidualAddsFirst) {
  for (const std::int64_t cols : {5, 100}) {
    Case c(cols);
    std::vector<float> summed = c.base, expected(c.base.size(), 9.0f), mean(c.rows), rstd(c.rows);
    for (std::int64_t r = 0; r < c.rows; ++r)
      for (std::int64_t i = 0; i < cols; ++i)
        summed[r * c.stride + i] += c.added[r * c.stride + i] + c.added_bias[i];
    layer_norm<float>(c.view(summed), {c.gain.data(), c.bias.data()}, c.view(expected),
                      {mean.data(), rstd.data()});
    std::vector<float> out(c.base.size(), 9.0f);
    std::vector<bf16> narrow(c.base.size(), bf16(9.0f));
    const LayerNormStatistics statistics{c.mean.data(), c.rstd.data()};
    std::vector<float> sum = c.base;
    residual_layer_norm<bf16>(c.view(c.base), c.view(c.added), c.added_bias.data(),
                              {c.gain.data(), c.bias.data()}, c.view(sum),
                              {narrow.data(), c.rows, cols, c.stride}, statistics);
    // In place.
    residual_layer_norm<float>(c.view(c.base), c.view(c.added), c.added_bias.data(),
                               {c.gain.data(), c.bias.data()}, c.view(c.base), c.view(out),
                               statistics);
    test::expect_near(c.base, summed, 1e-6);
    test::expect_near(sum, summed, 1e-6);
    test::expect_near(out, expected, 1e-4);
    test::expect_near(test::to_floats(narrow), expected, 1e-4, 0.004);
    test::expect_near(c.mean, mean, 1e-5);
  }
}

TEST(LayerNorm, BackwardMatchesTheReference) {
  for (const std::int64_t cols : {1, 5, 33, 256}) {
    Case c(cols);
    std::vector<float> out(c.base.size());
    const LayerNormStatistics statistics{c.mean.data(), c.rstd.data()};
    layer_norm<float>(c.view(c.base), {c.gain.data(), c.bias.data()}, c.view(out), statistics);
    auto d_out = random_values(7, c.rows * c.stride);
    auto d_skip = random_values(8, c.rows * c.stride);
    std::vector<float> d_x(d_out.size()), expected(d_out.size());
    std::vector<float> d_gain(cols, 5.0f), d_bias(cols, 5.0f), e_gain(cols), e_bias(cols);
    std::vector<bf16> narrow(d_out.size());
    layer_norm_backward({c.view(d_out),
                         c.view(c.base),
                         statistics,
                         c.gain.data(),
                         c.view(d_skip),
                         c.view(d_x),
                         {narrow.data(), c.rows, cols, c.stride},
                         d_gain.data(),
                         d_bias.data()});
    for (std::int64_t r = 0; r < c.rows; ++r) {
      const std::int64_t at = r * c.stride;
      reference::layer_norm_row_backward(&d_out[at], &c.base[at], c.mean[r], c.rstd[r],
                                         c.gain.data(), static_cast<int>(cols), &expected[at],
                                         e_gain.data(), e_bias.data());
      for (std::int64_t i = 0; i < cols; ++i) expected[at + i] += d_skip[at + i];
    }
    test::expect_near(d_x, expected, 1e-4, 1e-4);
    test::expect_near(test::to_floats(narrow), expected, 1e-4, 0.005);
    test::expect_near(d_gain, e_gain, 1e-4);
    test::expect_near(d_bias, e_bias, 1e-4);
  }
}

TEST(LayerNorm, NaNSpreads) {
  Case c(20);
  c.base[0] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> out(c.base.size());
  layer_norm<float>(c.view(c.base), {c.gain.data(), c.bias.data()}, c.view(out),
                    {c.mean.data(), c.rstd.data()});
  EXPECT_TRUE(std::isnan(out[7]));
  EXPECT_FALSE(std::isnan(out[c.stride]));
}

TEST(LayerNorm, RejectsDifferentShapes) {
  Case c(8);
  std::vector<float> out(100);
  EXPECT_THROW(
      layer_norm<float>(c.view(c.base), {c.gain.data(), c.bias.data()},
                        MatrixView<float>(out.data(), 5, 7), {c.mean.data(), c.rstd.data()}),
      std::invalid_argument);
}

TEST(LayerNorm, RootMeanSquareFormMatchesTheReference) {
  for (const std::int64_t cols : {1, 40, 129}) {
    Case c(cols);
    std::vector<float> sum(c.base.size()), out(c.base.size()), d_x(c.base.size()),
        d_gain(cols, 7.0f);
    const LayerNormStatistics statistics{c.mean.data(), c.rstd.data()};
    residual_layer_norm<float>(
        c.view(c.base), c.view(c.added), nullptr,
        {.gain = c.gain.data(), .kind = NormKind::root_mean_square, .epsilon = 1e-6f}, c.view(sum),
        c.view(out), statistics);
    layer_norm_backward({.d_out = c.view(c.added),
                         .x = c.view(sum),
                         .statistics = statistics,
                         .gain = c.gain.data(),
                         .d_x = c.view(d_x),
                         .d_gain = d_gain.data(),
                         .kind = NormKind::root_mean_square});
    std::vector<double> gradient(cols);
    const auto gain = test::to_doubles(c.gain);
    for (std::int64_t r = 0; r < c.rows; ++r) {
      std::vector<double> x, d_out, expected(cols), slope(cols), got, got_slope;
      for (std::int64_t i = r * c.stride; i < r * c.stride + cols; ++i) {
        EXPECT_EQ(sum[i], c.base[i] + c.added[i]);
        x.push_back(double(sum[i]));
        d_out.push_back(double(c.added[i]));
        got.push_back(double(out[i]));
        got_slope.push_back(double(d_x[i]));
      }
      double rstd;
      reference::rms_norm_row(x.data(), gain.data(), int(cols), expected.data(), &rstd, 1e-6);
      reference::rms_norm_row_backward(d_out.data(), x.data(), rstd, gain.data(), int(cols),
                                       slope.data(), gradient.data());
      test::expect_near(got, expected, 1e-5, 1e-5);
      test::expect_near(got_slope, slope, 1e-4, 1e-4);
    }
    test::expect_near(d_gain, gradient, 1e-4, 1e-4);
  }
}

// What is computed once more from the sum is what was computed with it.
TEST(LayerNorm, OfASumHasTheBytesOfTheNormOfItsSum) {
  for (const std::int64_t cols : {1, 7, 33, 64, 129, 768})
    for (const NormKind kind : {NormKind::layer, NormKind::root_mean_square})
      for (const bool biased : {false, true}) {
        const auto base = random_values(1, 3 * cols), added = random_values(2, 3 * cols),
                   gain = random_values(3, cols), bias = random_values(4, cols);
        std::vector<float> sum(3 * cols), fused(3 * cols), again(3 * cols);
        std::vector<float> mean(3), rstd(3), mean_again(3), rstd_again(3);
        const LayerNormWeights weights{gain.data(), bias.data(), kind};
        residual_layer_norm<float>({base.data(), 3, cols}, {added.data(), 3, cols},
                                   biased ? bias.data() : nullptr, weights, {sum.data(), 3, cols},
                                   {fused.data(), 3, cols}, {mean.data(), rstd.data()});
        layer_norm<float>({sum.data(), 3, cols}, weights, {again.data(), 3, cols},
                          {mean_again.data(), rstd_again.data()});
        EXPECT_TRUE(test::same_bytes(fused, again)) << cols;
        EXPECT_TRUE(test::same_bytes(mean, mean_again)) << cols;
        EXPECT_TRUE(test::same_bytes(rstd, rstd_again)) << cols;
      }
}

}  // namespace
}  // namespace tutti
