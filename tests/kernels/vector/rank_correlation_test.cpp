#include "kernels/vector/rank_correlation.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

using Values = std::vector<double>;

TEST(RankCorrelation, ByHand) {
  EXPECT_DOUBLE_EQ(rank_correlation(Values{1, 2, 3}, Values{10, 20, 1000}), 1);
  EXPECT_DOUBLE_EQ(rank_correlation(Values{1, 2, 3}, Values{3, 2, 1}), -1);
  // Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24).
  EXPECT_DOUBLE_EQ(rank_correlation(Values{1, 2, 3, 4, 5}, Values{2, 1, 4, 3, 5}), 0.8);
}

TEST(RankCorrelation, EqualNumbersShareTheMeanOfTheirRanks) {
  // Ranks 1 2.5 2.5 4 and 1 2 3 4: 4.5 / sqrt(4.5 * 5).
  EXPECT_DOUBLE_EQ(rank_correlation(Values{1, 2, 2, 3}, Values{1, 2, 3, 4}),
                   4.5 / std::sqrt(4.5 * 5));
}

TEST(RankCorrelation, DoesNotDependOnTheOrderOfPairs) {
  EXPECT_DOUBLE_EQ(rank_correlation(Values{3, 1, 2, 2}, Values{4, 1, 3, 2}),
                   rank_correlation(Values{1, 2, 2, 3}, Values{1, 2, 3, 4}));
}

TEST(RankCorrelation, IsNaNWhereItIsNotDefined) {
  EXPECT_TRUE(std::isnan(rank_correlation(Values{}, Values{})));
  EXPECT_TRUE(std::isnan(rank_correlation(Values{1}, Values{1})));
  EXPECT_TRUE(std::isnan(rank_correlation(Values{1, 1}, Values{1, 2})));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(rank_correlation(Values{1, nan, 3}, Values{1, 2, 3})));
  EXPECT_THROW(rank_correlation(Values{1, 2}, Values{1}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
