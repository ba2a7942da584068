// Edges follow their rule, lead everywhere, and depend on nothing but vectors, lists and shape.
#include "kernels/vector/graph_build.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/parallel.h"
#include "kernels/vector/graph_edges.h"
#include "tests/kernels/vector/listed_matrix.h"

namespace tutti {
namespace {

using test::ListedMatrix;
using test::Matrix;
using test::Threads;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

std::vector<std::int32_t> near_edges(const GraphBuild& build, std::int64_t vectors,
                                     std::int64_t degree, std::int64_t at_once) {
  std::vector<std::int32_t> edges(std::size_t(vectors * degree));
  for (std::int64_t at = 0; at < vectors; at += at_once)
    build.find_near(at, {edges.data() + at * degree, std::min(at_once, vectors - at), degree});
  return edges;
}

// Rows of edges of the vertices from `first` on.
void expect_proper(std::span<const std::int32_t> edges, std::int64_t first, std::int64_t vectors,
                   std::int64_t degree, std::int64_t most) {
  for (std::int64_t v = first; (v - first) * degree < std::ssize(edges); ++v) {
    std::set<std::int32_t> seen;
    bool ended = false;
    for (std::int64_t i = 0; i < degree; ++i) {
      const std::int32_t to = edges[std::size_t((v - first) * degree + i)];
      if (to < 0) {
        EXPECT_EQ(to, -1);
        ended = true;
        continue;
      }
      EXPECT_FALSE(ended);
      EXPECT_LT(to, vectors);
      EXPECT_NE(to, v);
      EXPECT_TRUE(seen.insert(to).second);
    }
    EXPECT_LE(std::ssize(seen), most);
  }
}

TEST(EdgeChoice, LeavesOutWhatIsNearerToOneThatIsKept) {
  Matrix line(6, 1, 1);
  line.values = {0, 1, 2, 4, -1, -3};
  const CodeSpace space(CodeSpace::train(line.view(), Metric::l2));
  CodeRows codes(space, 6);
  codes.put(0, line.view());
  const std::vector<std::int32_t> others = {1, 4, 2, 5, 3};
  std::vector<float> keys(5);
  codes.measure(codes.row(0), others.data(), 5, keys.data());
  std::vector<FoundVertex> candidates;
  for (std::size_t i = 0; i < 5; ++i) candidates.push_back({keys[i], others[i]});
  EdgeChoice choice(codes, 1);
  const auto kept = choice.choose(candidates, 5);
  EXPECT_EQ(std::vector<std::int32_t>(kept.begin(), kept.end()), (std::vector<std::int32_t>{1, 4}));
  EXPECT_EQ(choice.choose(candidates, 1).size(), 1u);
  EdgeChoice generous(codes, 1000);
  EXPECT_EQ(generous.choose(candidates, 4).size(), 4u);
}

TEST(GraphBuild, NeighboursAreThoseOfTheRuleAmongAllVectors) {
  for (const Metric metric : kMetrics) {
    const ListedMatrix data(300, 12, 7, metric);
    const CodeSpace space(CodeSpace::train(data.view(), metric));
    const GraphBuild build(space, data.lists(), {8, 7});
    const auto edges = near_edges(build, 300, 8, 300);
    expect_proper(edges, 0, 300, 8, 7);
    CodeRows codes(space, 300);
    codes.put(0, data.view());
    std::int64_t first = 0;
    for (std::int32_t v = 0; v < 300; ++v) {
      std::vector<std::int32_t> others(300);
      std::iota(others.begin(), others.end(), 0);
      std::vector<float> keys(300);
      codes.measure(codes.row(v), others.data(), 300, keys.data());
      keys[std::size_t(v)] = test::kInf;
      const auto nearest = std::ranges::min_element(keys) - keys.begin();
      first += edges[std::size_t(v * 8)] == nearest;
    }
    EXPECT_GE(first, 280);  // a key of the scan may be larger (ranked_scan.h)
  }
}

TEST(GraphBuild, IsTheSameHoweverItIsCut) {
  const ListedMatrix data(500, 20, 11, Metric::l2);
  const CodeSpace space(CodeSpace::train(data.view(), Metric::l2));
  const GraphBuild build(space, data.lists(), {6, 3});
  const auto expected = near_edges(build, 500, 6, 500);
  for (const int threads : {1, 3}) {
    const Threads set(threads);
    for (const std::int64_t at_once : {1, 7, 128}) {
      const GraphBuild again(space, data.lists(), {6, 3});
      EXPECT_EQ(near_edges(again, 500, 6, at_once), expected);
    }
  }
}

TEST(GraphBuild, TakesIncomingEdgesAsFarAsThereIsRoom) {
  const ListedMatrix data(40, 5, 3, Metric::l2);
  const CodeSpace space(CodeSpace::train(data.view(), Metric::l2));
  const GraphBuild build(space, data.lists(), {4, 3});
  std::vector<std::int32_t> edges = {7, -1, -1, -1, 9, 8, -1, -1};
  const std::vector<std::int64_t> starts = {0, 3, 40};
  std::vector<std::int32_t> from = {7, 20, 5};
  for (std::int32_t v = 0; v < 37; ++v) from.push_back(v);
  build.add_incoming(5, {starts, from}, {edges.data(), 2, 4});
  EXPECT_EQ((std::multiset<std::int32_t>(edges.begin(), edges.begin() + 4)),
            (std::multiset<std::int32_t>{-1, -1, 7, 20}));
  expect_proper(std::span(edges).subspan(4), 6, 40, 4, 3);
}

TEST(GraphBuild, AwkwardSizes) {
  for (const std::int64_t count : {1, 2, 3, 50})
    for (const std::int64_t dim : {1, 7, 300})
      for (const std::int64_t nlist : {1, 5}) {
        const ListedMatrix data(count, dim, nlist, Metric::l2);
        const CodeSpace space(CodeSpace::train(data.view(), Metric::l2));
        const GraphBuild build(space, data.lists(), {32, 16});
        const auto edges = near_edges(build, count, 32, count);
        expect_proper(edges, 0, count, 32, 31);
        if (count > 1) {
          EXPECT_GE(edges[0], 0);
        }
      }
}

TEST(GraphBuild, RefusesWhatDoesNotFit) {
  const ListedMatrix data(10, 4, 2, Metric::l2);
  const CodeSpace space(CodeSpace::train(data.view(), Metric::l2));
  ListedVectors lists = data.lists();
  EXPECT_THROW(GraphBuild(space, lists, {1, 1}), std::invalid_argument);
  EXPECT_THROW(GraphBuild(space, lists, {2, 0}), std::invalid_argument);
  lists.begins = lists.begins.first(2);
  EXPECT_THROW(GraphBuild(space, lists, {4, 1}), std::invalid_argument);
}

TEST(ConnectGraph, LeadsEverywhere) {
  // 0 <-> 1, 2 -> 0, 3 <-> 4; nothing leads to 2, 3 and 4.
  std::vector<std::int32_t> edges = {1, -1, -1, 0, -1, -1, 0, -1, -1, 4, -1, -1, 3, -1, -1};
  EXPECT_EQ(connect_graph({edges.data(), 5, 3}), 2);
  EXPECT_EQ(edges,
            (std::vector<std::int32_t>{1, -1, -1, 0, 2, -1, 0, 3, -1, 4, -1, -1, 3, -1, -1}));
  EXPECT_EQ(connect_graph({edges.data(), 5, 3}), 0);
  std::vector<std::int32_t> full = {1, 1, 0, 0, 0, 0};
  EXPECT_THROW(connect_graph({full.data(), 3, 2}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
