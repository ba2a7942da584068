#include "kernels/ops/vector_math.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(VectorMath, ExpIsWithinTwoUnits) {
  for (double x = -87; x <= 88; x += 0.01) {
    const auto argument = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(argument));
    EXPECT_NEAR(vector_exp(argument), exact, 2.5e-7 * exact) << x;
  }
}

TEST(VectorMath, ExpOfExtremes) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(vector_exp(0.0f), 1.0f);
  EXPECT_LT(vector_exp(-kInfinity), 1e-37f);
  EXPECT_GT(vector_exp(kInfinity), 1e38f);
  EXPECT_TRUE(std::isnan(vector_exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST(VectorMath, Sigmoid) {
  for (double x = -40; x <= 40; x += 0.01) {
    const auto argument = static_cast<float>(x);
    EXPECT_NEAR(vector_sigmoid(argument), 1 / (1 + std::exp(-static_cast<double>(argument))), 2e-7);
  }
  EXPECT_TRUE(std::isnan(vector_sigmoid(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace tutti
