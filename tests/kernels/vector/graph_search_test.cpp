// A walk finds what a plain best-first search over sets finds.
#include "kernels/vector/graph_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include <gtest/gtest.h>

#include "kernels/core/random.h"

namespace tutti {
namespace {

using Found = std::pair<float, std::int32_t>;

struct Graph {
  std::vector<std::int32_t> edges;
  std::vector<float> keys;  // of the vertices, to the query
  std::int64_t degree;

  Graph(std::int64_t vertices, std::int64_t degree_, bool negative) : degree(degree_) {
    for (std::int64_t v = 0; v < vertices; ++v) {
      const auto its = std::int64_t(random_u64(1, 0, std::uint64_t(v)) % std::uint64_t(degree + 1));
      for (std::int64_t i = 0; i < degree; ++i)
        edges.push_back(i < its ? std::int32_t(random_u64(2, std::uint64_t(v), std::uint64_t(i)) %
                                               std::uint64_t(vertices))
                                : -1);
      const double key = std::floor(40 * random_uniform(3, 0, std::uint64_t(v)));  // many equal
      keys.push_back(float(negative ? key - 20 : key));
    }
  }
  GraphView view() const { return {edges.data(), std::int64_t(keys.size()), degree}; }

  std::vector<FoundVertex> search(GraphSearch& search, std::span<const std::int32_t> starts,
                                  std::int64_t breadth) const {
    const auto found = search.search(
        starts, breadth,
        [&](const std::int32_t* v, std::int64_t count, float* out) {
          for (std::int64_t i = 0; i < count; ++i) out[i] = keys[std::size_t(v[i])];
        },
        [](std::int32_t) {});
    return {found.begin(), found.end()};
  }

  // The definition: what is farther than the breadth-th nearest wanted one is of no interest.
  std::vector<Found> defined(std::span<const std::int32_t> starts, std::int64_t breadth,
                             const std::vector<bool>& wanted) const {
    std::set<std::int32_t> seen;
    std::set<Found> known, open;
    const auto bound = [&] {
      std::int64_t left = breadth;
      for (const Found& f : known)
        if (wanted[std::size_t(f.second)] && --left == 0) return f;
      return Found{std::numeric_limits<float>::infinity(), 0};
    };
    const auto see = [&](std::int32_t v) {
      if (!seen.insert(v).second) return;
      known.insert({keys[std::size_t(v)], v});
      open.insert({keys[std::size_t(v)], v});
    };
    for (const std::int32_t v : starts) see(v);
    while (!open.empty() && *open.begin() <= bound()) {
      const std::int32_t v = open.begin()->second;
      open.erase(open.begin());
      for (std::int64_t i = 0; i < degree; ++i)
        if (const std::int32_t to = edges[std::size_t(v * degree + i)]; to >= 0) see(to);
    }
    std::vector<Found> found;
    for (const Found& f : known)
      if (wanted[std::size_t(f.second)] && std::ssize(found) < breadth) found.push_back(f);
    return found;
  }
};

TEST(GraphSearch, FindsWhatABestFirstSearchFinds) {
  for (const bool negative : {false, true})
    for (const std::int64_t vertices : {1, 5, 64, 700}) {
      const Graph graph(vertices, 6, negative);
      GraphSearch search(graph.view());
      std::vector<bool> wanted(std::size_t(vertices), true);
      std::vector<std::uint64_t> bits(std::size_t((vertices + 63) / 64));
      for (const bool some : {false, true}) {
        for (std::int64_t v = 0; v < vertices && some; ++v)
          if ((wanted[std::size_t(v)] = v % 3 == 1)) bits[std::size_t(v / 64)] |= 1ull << (v % 64);
        if (some) search.only(bits);
        for (const std::int64_t breadth : {1, 2, 10, 1000})
          for (std::int32_t start = 0; start < 4; ++start) {
            std::vector<std::int32_t> starts = {std::int32_t(start % vertices), 0};
            const auto found = graph.search(search, starts, breadth);
            const auto expected = graph.defined(starts, breadth, wanted);
            ASSERT_EQ(found.size(), expected.size());
            for (std::size_t i = 0; i < found.size(); ++i) {
              EXPECT_EQ(found[i].key, expected[i].first);
              EXPECT_EQ(found[i].vertex, expected[i].second);
            }
          }
      }
    }
}

TEST(GraphSearch, ABreadthIsAtLeastOne) {
  const Graph graph(3, 2, false);
  GraphSearch search(graph.view());
  EXPECT_THROW(graph.search(search, {}, 0), std::invalid_argument);
  EXPECT_TRUE(graph.search(search, {}, 1).empty());
}

}  // namespace
}  // namespace tutti
