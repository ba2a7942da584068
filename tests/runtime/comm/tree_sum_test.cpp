#include "runtime/comm/tree_sum.h"

#include <cmath>

#include <gtest/gtest.h>

#include "kernels/core/random.h"
#include "tests/support/mpi_main.h"

namespace tutti {
namespace {

using testing::world;

float leaf_value(std::int64_t leaf, std::int64_t element) {
  return float(std::ldexp(random_normal(7, std::uint64_t(leaf), std::uint64_t(element)),
                          int(leaf * 5 % 23)));
}

// The definition: the sum of node [begin, end), its left half the largest power of two below its
// length.
float by_definition(std::int64_t begin, std::int64_t end, std::int64_t element) {
  if (end - begin == 1) return leaf_value(begin, element);
  std::int64_t half = 1;
  while (half * 2 < end - begin) half *= 2;
  return by_definition(begin, begin + half, element) + by_definition(begin + half, end, element);
}

TEST(TreeSum, CoveringNodesByHand) {
  EXPECT_EQ(covering_nodes({0, 8}, 8), (std::vector<TreeNode>{{3, 0}}));
  EXPECT_EQ(covering_nodes({1, 7}, 8), (std::vector<TreeNode>{{0, 1}, {1, 1}, {1, 2}, {0, 6}}));
  EXPECT_EQ(covering_nodes({0, 5}, 5), (std::vector<TreeNode>{{3, 0}}));
  EXPECT_EQ(covering_nodes({3, 5}, 5), (std::vector<TreeNode>{{0, 3}, {2, 1}}));
  EXPECT_TRUE(covering_nodes({2, 2}, 5).empty());
}

TEST(TreeSum, EveryElementIsAddedInTheOrderOfTheDefinition) {
  for (std::int64_t leaves : {1, 2, 3, 5, 8, 13, 16, 31})
    for (std::int64_t size : {1, 7, 1000}) {
      const Range mine = part_of(leaves, world().size(), world().rank());
      TreeSum<float> sum(size, mine, leaves);
      std::vector<float> result(std::size_t(size), -1.f);
      for (int repeat = 0; repeat < 2; ++repeat) {
        sum.reset();
        for (std::int64_t leaf = mine.begin; leaf < mine.end; ++leaf) {
          std::span<float> values = sum.next();
          for (std::int64_t i = 0; i < size; ++i) values[std::size_t(i)] += leaf_value(leaf, i);
          sum.push();
        }
        all_reduce<float>(world(), sum, result);
        for (std::int64_t i = 0; i < size; ++i)
          ASSERT_EQ(result[std::size_t(i)], by_definition(0, leaves, i))
              << leaves << " leaves, element " << i;
      }
    }
}

TEST(TreeSum, AFlatSumWouldDiffer) {
  float flat = 0;
  bool differs = false;
  for (std::int64_t i = 0; i < 100 && !differs; ++i, flat = 0) {
    for (std::int64_t leaf = 0; leaf < 31; ++leaf) flat += leaf_value(leaf, i);
    differs = flat != by_definition(0, 31, i);
  }
  EXPECT_TRUE(differs) << "the data cannot tell the orders apart";
}

TEST(TreeSum, ScalarsFollowTheSameTree) {
  for (std::int64_t leaves : {1, 3, 8, 29}) {
    const Range mine = part_of(leaves, world().size(), world().rank());
    std::vector<double> values;
    for (std::int64_t leaf = mine.begin; leaf < mine.end; ++leaf)
      values.push_back(double(leaf) + 1);
    EXPECT_EQ(tree_sum(world(), values, leaves), double(leaves * (leaves + 1) / 2));
  }
}

}  // namespace
}  // namespace tutti
