// A guess follows what it was fitted to, and says nothing where nothing is known.
#include "kernels/vector/limit_guess.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/random.h"

namespace tutti {
namespace {

using Margin = LimitGuess::Margin;

struct Known {
  std::vector<ProbeDistances> near;
  std::vector<float> limits;
};

// Limits that follow from the distances but for some noise.
Known noisy(std::int64_t count, double noise) {
  Known known;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto draw = [&](std::uint64_t stream) {
      return random_normal(1, stream, std::uint64_t(i));
    };
    const double first = 1000 * std::exp(0.3 * draw(1)), all = first * (2 + 0.2 * draw(2));
    known.near.push_back({float(first), float((first + all) / 2), float(all)});
    known.limits.push_back(float(0.5 * std::sqrt(first * all) * std::exp(noise * draw(3))));
  }
  return known;
}

TEST(LimitGuess, FewLimitsExceedItAndNoneByMuch) {
  const Known known = noisy(5000, 0.05), others = noisy(9000, 0.05);
  LimitGuess guess;
  EXPECT_FALSE(guess.is_ready());
  ASSERT_TRUE(guess.fit(known.near, known.limits));
  EXPECT_TRUE(guess.is_ready());
  std::int64_t above = 0, above_wide = 0;
  for (std::size_t i = 5000; i < 9000; ++i) {
    const float usual = guess.guess(others.near[i], Margin::usual),
                wide = guess.guess(others.near[i], Margin::wide);
    EXPECT_LT(usual, wide);
    EXPECT_LT(wide, others.limits[i] * 1.6F);
    above += others.limits[i] > usual;
    above_wide += others.limits[i] > wide;
  }
  EXPECT_GT(above, 0);
  EXPECT_LT(above, 120);
  EXPECT_LE(above_wide, 4);
}

TEST(LimitGuess, SaysNothingWhereNothingIsKnown) {
  Known known = noisy(300, 0.1);
  LimitGuess guess;
  EXPECT_EQ(guess.guess(known.near[0], Margin::usual), HUGE_VALF);
  std::fill(known.limits.begin() + 20, known.limits.end(), HUGE_VALF);
  EXPECT_FALSE(guess.fit(known.near, known.limits));
  EXPECT_EQ(guess.guess(known.near[0], Margin::wide), HUGE_VALF);
  known = noisy(300, 0.1);
  known.near[7] = {};
  ASSERT_TRUE(guess.fit(known.near, known.limits));
  EXPECT_EQ(guess.guess({}, Margin::usual), HUGE_VALF);
  EXPECT_THROW(guess.fit(known.near, std::vector<float>(299)), std::invalid_argument);
}

TEST(LimitGuess, TermsThatAreTheSame) {
  Known known = noisy(300, 0.01);
  for (ProbeDistances& near : known.near) near.all = near.ordered = near.first;
  LimitGuess guess;
  ASSERT_TRUE(guess.fit(known.near, known.limits));
  EXPECT_NEAR(guess.guess(known.near[0], Margin::usual) / known.limits[0], 1.3, 0.5);
  // Nor do limits of nothing confuse it.
  std::ranges::fill(known.limits, 0.0F);
  ASSERT_TRUE(guess.fit(known.near, known.limits));
  EXPECT_LT(guess.guess(known.near[0], Margin::usual), 1);
}

}  // namespace
}  // namespace tutti
