#include "kernels/vector/top_k.h"

#include <algorithm>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::kInf;
using test::kNaN;

std::vector<Neighbor> candidates(int count, std::uint64_t seed) {
  std::vector<Neighbor> all;
  for (int i = 0; i < count; ++i) {
    // Few distinct distances, so that ties are common.
    all.push_back({static_cast<float>(random_u64(seed, 0, std::uint64_t(i)) % 50), i});
  }
  return all;
}

std::vector<Neighbor> kept(const TopK& top) { return test::sorted({top}); }

std::vector<Neighbor> first(std::vector<Neighbor> all, std::int64_t k) {
  std::sort(all.begin(), all.end(), precedes);
  all.resize(static_cast<std::size_t>(k));
  return all;
}

TEST(TopK, ATighterBoundKeepsWhatIsAtIt) {
  TopK kept(2);
  kept.push({5, 1});
  kept.tighten(3);
  kept.tighten(4);
  EXPECT_EQ(kept.threshold(), 3);
  kept.push({3.5, 2});
  kept.push({3, 3});
  std::vector<Neighbor> sorted(2);
  kept.write_sorted(sorted);
  EXPECT_EQ(sorted[0], (Neighbor{3, 3}));
}

TEST(TopK, WithoutAKWhatIsWithinTheBoundByHand) {
  TopK within(TopK::kAll);
  within.tighten(3);
  for (const Neighbor& n : {Neighbor{5, 1}, {3, 9}, {-1, 4}, {3, 0}, {kNaN, 7}, {3.5, 2}, {0, -1}})
    within.push(n);
  EXPECT_EQ(within.sorted(), (std::vector<Neighbor>{{-1, 4}, {3, 0}, {3, 9}}));
  EXPECT_EQ(within.threshold(), 3);
}

TEST(TopK, SortedHasNoPadding) {
  TopK top(3);
  EXPECT_TRUE(top.sorted().empty());
  for (const Neighbor& n : {Neighbor{5, 1}, {2, 9}}) top.push(n);
  EXPECT_EQ(top.sorted(), (std::vector<Neighbor>{{2, 9}, {5, 1}}));
  for (const Neighbor& n : {Neighbor{4, 1}, {1, 9}}) top.push(n);
  EXPECT_EQ(top.sorted(), (std::vector<Neighbor>{{1, 9}, {2, 9}, {4, 1}}));
}

TEST(TopK, ByHand) {
  TopK top(3);
  for (const Neighbor& n : {Neighbor{5, 1}, {2, 9}, {2, 4}, {7, 0}, {5, 0}}) top.push(n);
  EXPECT_EQ(kept(top), (std::vector<Neighbor>{{2, 4}, {2, 9}, {5, 0}}));
}

TEST(TopK, PadsWhatIsMissing) {
  TopK top(3);
  top.push({1, 7});
  top.push({kInf, 3});
  EXPECT_EQ(kept(top), (std::vector<Neighbor>{{1, 7}, {kInf, 3}, {kInf, -1}}));
}

TEST(TopK, NeverKeepsNaNOrPadding) {
  TopK top(2);
  top.push({kNaN, 0});
  top.push(Neighbor{});
  top.push({3, 1});
  top.push({kNaN, 2});
  EXPECT_EQ(kept(top), (std::vector<Neighbor>{{3, 1}, {kInf, -1}}));
}

TEST(TopK, SameForAnyOrderAndCut) {
  for (const std::int64_t k : {1, 2, 10, 100, 999}) {
    const auto all = candidates(1000, 3);
    const auto expected = first(all, k);
    TopK forward(k);
    TopK backward(k);
    TopK left(k);
    TopK right(k);
    for (const Neighbor& n : all) {
      forward.push(n);
      (n.id % 3 == 0 ? left : right).push(n);
    }
    std::for_each(all.rbegin(), all.rend(), [&](const Neighbor& n) { backward.push(n); });
    left.merge(right);
    EXPECT_EQ(kept(forward), expected);
    EXPECT_EQ(kept(backward), expected);
    EXPECT_EQ(kept(left), expected);
  }
}

TEST(TopK, ThresholdIsExactOnceFull) {
  TopK top(2);
  top.push({4, 0});
  EXPECT_EQ(top.threshold(), kInf);
  top.push({6, 1});
  EXPECT_EQ(top.threshold(), 6);
  top.reset(3);
  top.push({3, 5});
  top.push({3.5f, 6});
  EXPECT_EQ(kept(top), (std::vector<Neighbor>{{3, 5}, {kInf, -1}}));
}

TEST(TopK, Misuse) {
  EXPECT_THROW(TopK(0), std::invalid_argument);
  std::vector<Neighbor> out(2);
  EXPECT_THROW(TopK(3).write_sorted(out), std::invalid_argument);
}

TEST(MergeSorted, EqualsSortingTogether) {
  const auto all = candidates(60, 4);
  const auto a = first({all.begin(), all.begin() + 25}, 25);
  const auto b = first({all.begin() + 25, all.end()}, 35);
  std::vector<Neighbor> out(40);
  merge_sorted(a, b, out);
  EXPECT_EQ(out, first(all, 40));
  merge_sorted(b, a, out);
  EXPECT_EQ(out, first(all, 40));
}

TEST(MergeSorted, PaddingComesLast) {
  const std::vector<Neighbor> a{{1, 3}, {kInf, 2}, {}};
  const std::vector<Neighbor> b{{kInf, 0}, {}, {}};
  std::vector<Neighbor> out(5);
  merge_sorted(a, b, out);
  EXPECT_EQ(out, (std::vector<Neighbor>{{1, 3}, {kInf, 0}, {kInf, 2}, {}, {}}));
}

}  // namespace
}  // namespace tutti
