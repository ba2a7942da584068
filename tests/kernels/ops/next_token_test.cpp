#include "kernels/ops/next_token.h"

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

// Shares of 1000 evenly spaced chances.
std::map<std::int32_t, double> shares(const std::vector<float>& logits,
                                      const SamplingOptions& options) {
  std::map<std::int32_t, double> found;
  for (int i = 0; i < 1000; ++i) found[next_token(logits, options, (i + 0.5) / 1000)] += 0.001;
  return found;
}

// Probabilities 0.1, 0.4, 0.2, 0.3.
const std::vector<float> kLogits{std::log(1.0f), std::log(4.0f), std::log(2.0f), std::log(3.0f)};

TEST(NextToken, GreedyTakesTheLowestOfTheMostProbable) {
  EXPECT_EQ(next_token(kLogits, {}, 0.99), 1);
  EXPECT_EQ(next_token(std::vector<float>{1, 3, 3}, {}, 0.5), 1);
}

TEST(NextToken, SharesAreTheProbabilities) {
  const auto found = shares(kLogits, {.temperature = 1});
  EXPECT_NEAR(found.at(0), 0.1, 0.002);
  EXPECT_NEAR(found.at(1), 0.4, 0.002);
  EXPECT_NEAR(found.at(2), 0.2, 0.002);
  EXPECT_NEAR(found.at(3), 0.3, 0.002);
}

TEST(NextToken, TemperatureSharpens) {
  EXPECT_NEAR(shares(kLogits, {.temperature = 0.5}).at(1), 16.0 / 30, 0.002);
}

TEST(NextToken, TopKAndTopPLeaveTheRestOut) {
  const auto two = shares(kLogits, {.temperature = 1, .top_k = 2});
  EXPECT_EQ(two.size(), 2u);
  EXPECT_NEAR(two.at(1), 4.0 / 7, 0.002);
  const auto nucleus = shares(kLogits, {.temperature = 1, .top_p = 0.75});
  EXPECT_EQ(nucleus.size(), 3u);  // 0.4 + 0.3 do not reach it
  EXPECT_NEAR(nucleus.at(2), 2.0 / 9, 0.002);
  EXPECT_EQ(shares(kLogits, {.temperature = 1, .top_p = 0}).size(), 1u);
}

TEST(NextToken, WhatIsNoNumberIsNotChosen) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(next_token(std::vector<float>{nan, 1, 2, nan}, {}, 0), 2);
  EXPECT_EQ(shares({nan, 1, nan}, {.temperature = 1}).size(), 1u);
  EXPECT_EQ(next_token(std::vector<float>{nan, nan}, {.temperature = 1}, 0.5), 0);
}

}  // namespace
}  // namespace tutti
