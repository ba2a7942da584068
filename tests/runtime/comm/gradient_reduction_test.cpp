#include "runtime/comm/gradient_reduction.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/runtime/comm/reduction_support.h"

namespace tutti {
namespace {

using namespace testing;

// As a backward pass does: the last leaf from the end of the arena to its beginning.
std::span<float> reduce(GradientReduction& reduction, std::int64_t step, bool declare) {
  for (std::int64_t leaf = reduction.my_leaves().begin; leaf < reduction.my_leaves().end; ++leaf) {
    const std::span<float> values = reduction.next_leaf();
    const std::int64_t parts = 7;
    for (std::int64_t part = parts - 1; part >= 0; --part) {
      const std::int64_t begin = kSize * part / parts;
      add_leaf(values, begin, kSize * (part + 1) / parts, step, leaf);
      if (declare && reduction.in_last_leaf()) reduction.declare_final(begin);
    }
    reduction.push_leaf();
  }
  return reduction.finish();
}

class Reduction : public ::testing::TestWithParam<bool> {};

TEST_P(Reduction, GivesEachRankTheSumOfTheTree) {
  for (const std::int64_t leaves : {1, 2, 3, 8}) {
    GradientReduction reduction(world(), kSize, leaves, even_slices(), ReduceOrder::exact);
    const Range slice = even_slices()[std::size_t(world().rank())];
    for (std::int64_t step = 0; step < 2; ++step) {
      const std::span<float> sum = reduce(reduction, step, GetParam());
      ASSERT_EQ(std::ssize(sum), slice.size());
      for (std::int64_t i = 0; i < kSize; i += kStride) {
        if (!slice.contains(i)) continue;
        ASSERT_EQ(sum[std::size_t(i - slice.begin)], tree_value(step, leaves, i))
            << leaves << " leaves, element " << i;
      }
    }
  }
}

TEST_P(Reduction, FastIsTheSameButForRounding) {
  for (const std::int64_t leaves : {1, 3, 8}) {
    GradientReduction reduction(world(), kSize, leaves, even_slices(), ReduceOrder::fast);
    const Range slice = even_slices()[std::size_t(world().rank())];
    for (std::int64_t step = 0; step < 2; ++step) {
      const std::span<float> sum = reduce(reduction, step, GetParam());
      for (std::int64_t i = 0; i < kSize; i += kStride) {
        if (!slice.contains(i)) continue;
        double exact = 0, size = 0;
        for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
          exact += double(leaf_value(step, leaf, i));
          size += std::fabs(double(leaf_value(step, leaf, i)));
        }
        ASSERT_NEAR(double(sum[std::size_t(i - slice.begin)]), exact, 1e-6 * size);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BucketByBucketOrAtOnce, Reduction, ::testing::Bool());

// A rank that fails between two leaves must be able to leave.
TEST(GivenUpReduction, CanBeGivenUpBeforeTheLastLeafIsFinal) {
  GradientReduction reduction(world(), kSize, 8, even_slices(), ReduceOrder::exact);
  const Range mine = reduction.my_leaves();
  for (std::int64_t leaf = mine.begin; leaf + 1 < mine.end; ++leaf) {
    (void)reduction.next_leaf();
    reduction.push_leaf();
  }
  if (mine.size() > 0) {
    (void)reduction.next_leaf();
    reduction.declare_final(kSize);
  }
}

}  // namespace
}  // namespace tutti
