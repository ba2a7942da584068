#include "kernels/vector/distance.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

TEST(Distance, ByHand) {
  const float q[] = {1, 2, 3};
  const float v[] = {4, -1, 0.5f};
  EXPECT_EQ(reference::distance(q, v, 3, Metric::l2), 9 + 9 + 6.25f);
  EXPECT_EQ(reference::distance(q, v, 3, Metric::inner_product), -3.5f);
  EXPECT_EQ(reference::distance(q, v, 3, Metric::cosine), -2.5f);
}

TEST(Distance, IsFused) {
  // (1 + u)^2 - (1 + 2u) = u^2 is lost unless the product is kept unrounded.
  const float u = 0x1p-20f;
  const float q[] = {-(1 + 2 * u), 1 + u};
  const float v[] = {1, 1 + u};
  EXPECT_EQ(reference::distance(q, v, 2, Metric::inner_product), -u * u);
}

TEST(Distance, NoNegativeZero) {
  const float zero[] = {0.0f};
  EXPECT_FALSE(std::signbit(reference::distance(zero, zero, 1, Metric::inner_product)));
}

TEST(Metric, NamesRoundTrip) {
  for (const Metric metric : {Metric::l2, Metric::inner_product, Metric::cosine}) {
    EXPECT_EQ(metric_from_name(name_of(metric)), metric);
  }
  EXPECT_THROW(metric_from_name("L2"), std::invalid_argument);
}

TEST(Normalise, LengthOneAndZeroKept) {
  test::Matrix rows(70, 37, 1);
  std::fill_n(rows.values.begin(), 37, 0.0f);
  normalise(rows.view());
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    double square = 0;
    for (std::int64_t j = 0; j < rows.cols; ++j) square += std::pow(rows.view()(i, j), 2);
    EXPECT_NEAR(square, i == 0 ? 0 : 1, 1e-6);
  }
}

TEST(Normalise, ByHandAndNotFinite) {
  float values[] = {3, 4, test::kInf, 1, test::kNaN, 1};
  normalise({values, 3, 2});
  EXPECT_FLOAT_EQ(values[0], 0.6f);
  EXPECT_FLOAT_EQ(values[1], 0.8f);
  EXPECT_TRUE(std::isnan(values[2]));
  EXPECT_TRUE(std::isnan(values[4]));
}

TEST(Normalise, SameBytesForAnyThreads) {
  const test::Matrix rows(200, 33, 2);
  test::Matrix one = rows;
  test::Matrix three = rows;
  {
    const test::Threads threads(1);
    normalise(one.view());
  }
  const test::Threads threads(3);
  normalise(three.view());
  EXPECT_EQ(std::memcmp(one.values.data(), three.values.data(), 4 * one.values.size()), 0);
}

}  // namespace
}  // namespace tutti
