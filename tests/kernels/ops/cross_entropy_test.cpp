#include "kernels/ops/cross_entropy.h"

#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(CrossEntropyReference, ByHand) {
  const double logits[2] = {0, std::log(3.0)};  // probabilities 1/4 and 3/4
  double d[2];
  EXPECT_NEAR(reference::cross_entropy_row(logits, 2, 1, {}, d), std::log(4.0 / 3), 1e-12);
  EXPECT_NEAR(d[0], 0.25, 1e-12);
  EXPECT_NEAR(d[1], -0.25, 1e-12);
  EXPECT_NEAR(reference::cross_entropy_row(logits, 2, 1, {.smoothing = 1}, nullptr),
              std::log(4.0) - std::log(3.0) / 2, 1e-12);
}

TEST(CrossEntropyReference, GradientMatchesFiniteDifferences) {
  const auto logits = test::to_doubles(random_values(1, 9));
  for (const CrossEntropyOptions options :
       {CrossEntropyOptions{}, CrossEntropyOptions{0.1f, 0.01f}}) {
    std::vector<double> d(9);
    reference::cross_entropy_row(logits.data(), 9, 4, options, d.data());
    test::expect_near(d,
                      test::finite_differences(logits,
                                               [&](const auto& at) {
                                                 return reference::cross_entropy_row(
                                                     at.data(), 9, 4, options, nullptr);
                                               }),
                      1e-6);
  }
}

template <class T>
void expect_like_the_reference(const CrossEntropyOptions& options, double tolerance) {
  constexpr std::int64_t kRows = 4, kCols = 533, kStride = 540;
  std::vector<T> logits = random_values<T>(3, kRows * kStride, 4.0);
  const std::vector<T> before = logits;
  const std::vector<std::int32_t> targets{532, -1, 0, 77};
  std::vector<float> losses(kRows, -1.0f);
  cross_entropy<T>({logits.data(), kRows, kCols, kStride}, targets, options, true, losses);
  for (std::int64_t r = 0; r < kRows; ++r) {
    std::vector<double> row, expected(kCols), d;
    for (std::int64_t c = 0; c < kCols; ++c) {
      row.push_back(double(float(before[r * kStride + c])));
      d.push_back(double(float(logits[r * kStride + c])));
    }
    const double loss = targets[r] < 0 ? 0
                                       : reference::cross_entropy_row(row.data(), kCols, targets[r],
                                                                      options, expected.data());
    EXPECT_NEAR(double(losses[r]), loss, 1e-5 * (1 + loss));
    test::expect_near(d, expected, tolerance, tolerance);
  }
}

TEST(CrossEntropy, MatchesTheReference) {
  for (const CrossEntropyOptions options :
       {CrossEntropyOptions{}, CrossEntropyOptions{0.1f, 0.001f}}) {
    expect_like_the_reference<float>(options, 1e-6);
    expect_like_the_reference<bf16>(options, 5e-3);
  }
}

TEST(CrossEntropy, WithoutGradientLeavesTheLogits) {
  std::vector<float> logits = random_values(1, 20);
  const std::vector<float> before = logits;
  std::vector<float> losses(2);
  cross_entropy<float>({logits.data(), 2, 10}, std::vector<std::int32_t>{3, 4}, {}, false, losses);
  EXPECT_EQ(logits, before);
}

TEST(CrossEntropy, NaNSpreads) {
  std::vector<float> logits = random_values(1, 10), losses(1);
  logits[7] = std::numeric_limits<float>::quiet_NaN();
  cross_entropy<float>({logits.data(), 1, 10}, std::vector<std::int32_t>{3}, {}, true, losses);
  EXPECT_TRUE(std::isnan(losses[0]));
  EXPECT_TRUE(std::isnan(logits[0]));
}

TEST(CrossEntropy, RejectsWhatDoesNotFit) {
  std::vector<float> logits(10), losses(1);
  const auto run = [&](std::int32_t target, std::int64_t rows) {
    cross_entropy<float>({logits.data(), rows, 5}, std::vector<std::int32_t>{target}, {}, false,
                         losses);
  };
  EXPECT_THROW(run(5, 1), std::invalid_argument);
  EXPECT_THROW(run(1, 2), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
