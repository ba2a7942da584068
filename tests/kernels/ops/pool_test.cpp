#include "kernels/ops/pool.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(PoolReference, ByHand) {
  const double rows[4] = {2, 1, 4, 7};
  double embedding[2];
  EXPECT_DOUBLE_EQ(reference::mean_pool(rows, 2, 2, embedding), 5);
  EXPECT_DOUBLE_EQ(embedding[0], 0.6);
  EXPECT_DOUBLE_EQ(embedding[1], 0.8);
}

TEST(PoolReference, GradientMatchesFiniteDifferences) {
  constexpr int kRows = 3, kCols = 5;
  const auto rows = test::to_doubles(random_values(1, kRows * kCols));
  const auto d = test::to_doubles(random_values(2, kCols));
  const auto loss = [&](const auto& at) {
    double embedding[kCols], sum = 0;
    reference::mean_pool(at.data(), kRows, kCols, embedding);
    for (int i = 0; i < kCols; ++i) sum += embedding[i] * d[i];
    return sum;
  };
  std::vector<double> embedding(kCols), d_rows(kRows * kCols);
  const double norm = reference::mean_pool(rows.data(), kRows, kCols, embedding.data());
  reference::mean_pool_backward(embedding.data(), norm, d.data(), kRows, kCols, d_rows.data());
  test::expect_near(d_rows, test::finite_differences(rows, loss), 1e-8);
}

TEST(Pool, MatchesTheReference) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 7}, {20, 100}}) {
    const auto x = random_values(1, rows * cols), d = random_values(2, cols);
    std::vector<float> e(cols), expected(cols), d_x(x.size()), d_expected(x.size());
    const float norm = mean_pool({x.data(), rows, cols}, e.data());
    const float correct = reference::mean_pool(x.data(), rows, cols, expected.data());
    EXPECT_NEAR(norm, correct, 1e-5 * correct);
    test::expect_near(e, expected, 1e-5);
    mean_pool_backward(e.data(), norm, d.data(), {d_x.data(), rows, cols});
    reference::mean_pool_backward(expected.data(), correct, d.data(), rows, cols,
                                  d_expected.data());
    test::expect_near(d_x, d_expected, 1e-5, 1e-4);
  }
}

TEST(Pool, ZeroAndNaN) {
  std::vector<float> x(6), e(3);
  mean_pool({x.data(), 2, 3}, e.data());
  EXPECT_EQ(e, std::vector<float>(3, 0.0f));
  x[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(mean_pool({x.data(), 2, 3}, e.data())));
  EXPECT_TRUE(std::isnan(e[0]));
  EXPECT_THROW(mean_pool({x.data(), 0, 3}, e.data()), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
