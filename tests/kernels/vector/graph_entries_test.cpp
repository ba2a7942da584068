// Walks begin in the nearest lists, and in each part of the graph that these have vectors in.
#include "kernels/vector/graph_entries.h"

#include <algorithm>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::Matrix;
using Vertices = std::vector<std::int32_t>;

// Lists of five, two, no and one numbers; edges join 0 to 3, and nothing else.
struct Numbers {
  Matrix vectors{8, 1, 1}, centroids{4, 1, 1};
  std::vector<std::int64_t> begins = {0, 5, 7, 7, 8};
  Vertices edges = {1, 2, -1, -1, 3, -1, 2, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  CodeSpace space;
  CodeRows codes;

  Numbers()
      : space([&] {
          vectors.values = {9, 10, 13, 12, 11, -10, -10, 50};
          centroids.values = {10, -10, 30, 50};
          return CodeSpace::train(vectors.view(), Metric::l2);
        }()),
        codes(space, 8) {
    codes.put(0, vectors.view());
  }
  ListEntries entries() const {
    return choose_entries(space, codes, begins, centroids.view(), {edges.data(), 8, 2});
  }
};

TEST(GraphEntries, StandForTheirLists) {
  const ListEntries entries = Numbers().entries();
  // The nearest to 10, the two farthest from it, and the one that has no edge. Of the next list's
  // two equal ones the second is a part of its own.
  EXPECT_EQ(entries.offsets, (std::vector<std::int64_t>{0, 4, 6, 6, 7}));
  EXPECT_EQ(entries.vertices[0], 1);
  EXPECT_EQ(entries.vertices[1], 2);
  EXPECT_EQ(entries.vertices[3], entries.vertices[2] == 4 ? 0 : 4);
  EXPECT_EQ(Vertices(entries.vertices.begin() + 4, entries.vertices.end()), (Vertices{5, 6, 7}));
}

TEST(GraphEntries, AreThoseOfTheNearestLists) {
  const std::int64_t nlist = 30;
  const Matrix centroids(nlist, 2, 7);
  ListEntries entries;
  for (std::int32_t list = 0; list < nlist; ++list) {
    entries.vertices.push_back(list);
    if (list % 3 == 0) entries.vertices.push_back(100 + list);
    entries.offsets.push_back(std::ssize(entries.vertices));
  }
  const GraphEntries found(Metric::l2, centroids.view(), entries);
  const Vertices lists = found.find_lists(centroids.view());
  ASSERT_EQ(found.lists_of_query(), GraphEntries::kLists);
  Vertices starts;
  for (std::int32_t q = 0; q < nlist; ++q) {
    found.gather(std::span(lists).subspan(std::size_t(8 * q), 8), starts);
    EXPECT_EQ(std::ranges::count(starts, 0), 1);
    EXPECT_EQ(std::ranges::count(starts, q), 1);
    EXPECT_EQ(std::ranges::count(starts, 100 + q), q % 3 == 0);
    EXPECT_GE(starts.size(), 8u);
  }
}

TEST(GraphEntries, RefuseWhatDoesNotFit) {
  Numbers numbers;
  numbers.begins.back() = 7;
  EXPECT_THROW(numbers.entries(), std::invalid_argument);
  EXPECT_THROW(GraphEntries(Metric::l2, numbers.centroids.view(), ListEntries()),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
