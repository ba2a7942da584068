#include "kernels/optim/moving_average.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/arena.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kSize = 2 * kArenaBlock + 37;

TEST(MovingAverage, IsItsDefinition) {
  std::vector<float> average = test::random_values(1, kSize);
  std::vector<double> expected = test::to_doubles(average);
  for (int step = 2; step < 5; ++step) {
    const auto values = test::random_values(step, kSize);
    update_moving_average(0.9f, values, average);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = 0.9 * expected[i] + 0.1 * double(values[i]);
  }
  test::expect_near(average, expected, 1e-6);
}

TEST(MovingAverage, WhatDoesNotChangeKeepsItsBytes) {
  const auto values = test::random_values(1, kSize);
  std::vector<float> average = values;
  for (int i = 0; i < 9; ++i) update_moving_average(0.997f, values, average);
  EXPECT_TRUE(test::same_bytes(average, values));
}

TEST(MovingAverage, BytesDoNotDependOnThreads) {
  test::expect_same_bytes_for_any_threads([] {
    std::vector<float> average = test::random_values(1, kSize);
    update_moving_average(0.99f, test::random_values(2, kSize), average);
    return average;
  });
  std::vector<float> two(2), three(3);
  EXPECT_THROW(update_moving_average(0.9f, two, three), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
