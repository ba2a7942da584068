#include "runtime/checkpoint/checkpoint_cost.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

using namespace std::chrono_literals;

TEST(CheckpointCost, BlockedTimeAndSlowerStepsAddUp) {
  CheckpointCost cost;
  EXPECT_EQ(cost.each(), 0);
  CheckpointCost::Clock::time_point now{};
  const auto boundary = [&](auto blocked, bool writing) {
    cost.begin_boundary(now);
    now += blocked;
    cost.end_boundary(writing, now);
  };
  boundary(0s, false);
  now += 10s;  // a step alone
  boundary(2s, true);
  now += 13s;  // two beside a write, slower by 3 s and 1 s
  boundary(0s, true);
  now += 11s;
  boundary(1s, false);
  now += 10s;
  boundary(0s, false);
  cost.add_checkpoint(1.5, 100);
  EXPECT_DOUBLE_EQ(cost.blocking_seconds(), 3);
  EXPECT_DOUBLE_EQ(cost.slowdown_seconds(), 4);
  EXPECT_DOUBLE_EQ(cost.copy_seconds(), 1.5);
  EXPECT_DOUBLE_EQ(cost.each(), 7);
  EXPECT_EQ(cost.bytes(), 100);
}

TEST(CheckpointCost, TheBestIntervalFollowsFromCostAndFailures) {
  EXPECT_DOUBLE_EQ(best_checkpoint_interval(0.5, 3600), 60);  // sqrt(2 * 0.5 * 3600)
  EXPECT_DOUBLE_EQ(best_checkpoint_interval(0, 3600), 10);    // not at every step
  EXPECT_DOUBLE_EQ(best_checkpoint_interval(1e3, 1e9), 3600);
}

}  // namespace
}  // namespace tutti
