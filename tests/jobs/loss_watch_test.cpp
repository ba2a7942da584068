#include "jobs/loss_watch.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(LossWatch, ALossFarAboveMostOfTheLastOnesStandsOut) {
  LossWatch watch(5, 6);
  for (const double loss : {9.0, 2.0, 2.1, 1.9, 2.05})
    EXPECT_FALSE(watch.limit_exceeded(loss)) << "before there are five";
  // Median 2.05; distances 0, 0.05, 0.05, 0.15 and 6.95, whose median is 0.05.
  const auto limit = watch.limit_exceeded(2.6);
  ASSERT_TRUE(limit);
  EXPECT_NEAR(*limit, 2.05 + 6 * 1.4826 * 0.05, 1e-12);
  EXPECT_FALSE(watch.limit_exceeded(2.1));
  EXPECT_TRUE(watch.limit_exceeded(3)) << "the one before has not raised the limit much";
  EXPECT_FALSE(watch.limit_exceeded(0)) << "lower is no spike";
  EXPECT_EQ(watch.spikes(), 2);
}

TEST(LossWatch, EqualLossesLeaveRoomForAShare) {
  LossWatch watch(3, 6);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(watch.limit_exceeded(2));
  EXPECT_FALSE(watch.limit_exceeded(2.1));
  EXPECT_TRUE(watch.limit_exceeded(2.2));
}

TEST(LossWatch, GoesOnFromItsState) {
  LossWatch whole(4, 2), first(4, 2);
  const auto loss = [](int i) { return 2 + 0.3 * double(i * 7919 % 13) / 13; };
  for (int i = 0; i < 9; ++i) {
    whole.limit_exceeded(loss(i));
    first.limit_exceeded(loss(i));
  }
  LossWatch second(4, 2);
  second.restore(nlohmann::json::parse(first.state().dump()));
  for (int i = 9; i < 40; ++i)
    EXPECT_EQ(second.limit_exceeded(loss(i)), whole.limit_exceeded(loss(i)));
  EXPECT_EQ(second.spikes(), whole.spikes());
  LossWatch off(0, 2);
  off.restore(first.state());
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(off.limit_exceeded(1000 * i));
}

}  // namespace
}  // namespace tutti
