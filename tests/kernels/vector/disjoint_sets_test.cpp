#include "kernels/vector/disjoint_sets.h"

#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/random.h"

namespace tutti {
namespace {

TEST(DisjointSets, ByHand) {
  DisjointSets sets;
  for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(sets.add(), i);
  sets.join(0, 3);
  sets.join(5, 4);
  sets.join(3, 3);
  sets.join(4, 0);
  for (const std::int64_t i : {3, 4, 5}) EXPECT_EQ(sets.find(i), sets.find(0));
  for (const std::int64_t i : {1, 2}) EXPECT_EQ(sets.find(i), i);
  EXPECT_EQ(sets.size(), 6);
}

// The definition: labels that are made the same, element by element.
TEST(DisjointSets, EqualTheDefinition) {
  constexpr std::int64_t kCount = 300;
  DisjointSets sets;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < kCount; ++i) labels.push_back(sets.add());
  for (std::uint64_t pair = 0; pair < 200; ++pair) {
    const auto a = random_u64(1, 0, pair) % kCount, b = random_u64(1, 1, pair) % kCount;
    sets.join(std::int64_t(a), std::int64_t(b));
    const std::int64_t from = labels[a], to = labels[b];
    for (std::int64_t& label : labels)
      if (label == from) label = to;
  }
  for (std::int64_t a = 0; a < kCount; ++a)
    for (std::int64_t b = 0; b < a; ++b)
      ASSERT_EQ(sets.find(a) == sets.find(b), labels[std::size_t(a)] == labels[std::size_t(b)]);
}

}  // namespace
}  // namespace tutti
