#include "kernels/core/random.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(Random, IsAFunctionOfItsKeys) {
  EXPECT_EQ(random_u64(1, 2, 3), random_u64(1, 2, 3));
  std::set<std::uint64_t> values;
  for (std::uint64_t seed = 0; seed < 10; ++seed)
    for (std::uint64_t stream = 0; stream < 10; ++stream)
      for (std::uint64_t counter = 0; counter < 10; ++counter)
        values.insert(random_u64(seed, stream, counter));
  EXPECT_EQ(values.size(), 1000u);
}

TEST(Random, UniformHasTheRightMoments) {
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double u = random_uniform(7, 0, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.005);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.005);
}

TEST(Random, NormalHasTheRightMoments) {
  double sum = 0, squares = 0, fourth = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = random_normal(7, 1, i);
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.02);
  EXPECT_NEAR(squares / kCount, 1.0, 0.02);
  EXPECT_NEAR(fourth / kCount, 3.0, 0.15);
}

TEST(Random, NormalHasTheRightShares) {
  constexpr int kCount = 200000;
  for (const double bound :
       {-2.5, -1.0, 0.0, 0.5, 1.97, 1.98, 3.0}) {  // 1.973 is where tails begin
    int below = 0;
    for (int i = 0; i < kCount; ++i) below += random_normal(9, 0, i) < bound;
    EXPECT_NEAR(double(below) / kCount, 0.5 * std::erfc(-bound / std::sqrt(2.0)), 0.003) << bound;
  }
}

}  // namespace
}  // namespace tutti
