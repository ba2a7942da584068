// Searches by a graph find nearly what an exact scan finds, whatever the data are like.
#include "kernels/vector/vector_graph.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

#include <gtest/gtest.h>

#include "kernels/vector/graph_build.h"
#include "tests/kernels/vector/listed_matrix.h"

namespace tutti {
namespace {

using test::ListedMatrix;
using test::Matrix;
using test::Threads;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

// A graph and all that a search of it needs.
struct Searched {
  ListedMatrix data;
  Metric metric;
  CodeSpace space;
  CodeRows codes;
  std::vector<std::int32_t> edges;
  GraphView graph;
  ListEntries list_entries;
  std::optional<GraphEntries> entries;

  Searched(ListedMatrix data_, Metric metric_, const GraphShape& shape)
      : data(std::move(data_)),
        metric(metric_),
        space(CodeSpace::train(data.view(), metric)),
        codes(space, data.view().rows) {
    const std::int64_t count = data.view().rows, degree = shape.degree;
    codes.put(0, data.view());
    const GraphBuild build(space, data.lists(), shape);
    edges.resize(std::size_t(count * degree));
    const MatrixView<std::int32_t> rows(edges.data(), count, degree);
    build.find_near(0, rows);
    std::vector<std::vector<std::int32_t>> incoming(static_cast<std::size_t>(count));
    for (std::int64_t v = 0; v < count; ++v)
      for (std::int64_t i = 0; i < degree && rows(v, i) >= 0; ++i)
        incoming[std::size_t(rows(v, i))].push_back(std::int32_t(v));
    std::vector<std::int64_t> starts{0};
    std::vector<std::int32_t> from;
    for (const auto& its : incoming) {
      from.insert(from.end(), its.begin(), its.end());
      starts.push_back(std::ssize(from));
    }
    build.add_incoming(0, {starts, from}, rows);
    const ListedVectors lists = data.lists();
    list_entries = choose_entries(space, codes, lists.begins, lists.centroids, rows);
    connect_graph(rows);
    graph = {edges.data(), count, degree};
    entries.emplace(metric, lists.centroids, list_entries);
  }

  Searched(const Searched&) = delete;

  std::vector<Neighbor> search(ConstMatrixView<float> queries, std::int64_t k,
                               const GraphReach& reach,
                               std::span<const std::uint64_t> wanted = {}) const {
    std::vector<TopK> results = test::accumulators(queries.rows, k);
    VectorGraph searched(space, graph, codes, *entries, {data.view(), 0}, wanted);
    searched.search(queries, reach, results);
    return test::sorted(results);
  }

  std::vector<Neighbor> exact(ConstMatrixView<float> queries, std::int64_t k) const {
    std::vector<TopK> results = test::accumulators(queries.rows, k);
    scan(queries, data.view(), 0, metric, results);
    return test::sorted(results);
  }
};

double recall(const std::vector<Neighbor>& found, const std::vector<Neighbor>& truth,
              std::int64_t k) {
  std::int64_t right = 0;
  for (std::size_t q = 0; q < truth.size(); q += std::size_t(k)) {
    std::set<std::int64_t> ids;
    for (std::size_t i = q; i < q + std::size_t(k); ++i) ids.insert(found[i].id);
    for (std::size_t i = q; i < q + std::size_t(k); ++i) right += ids.contains(truth[i].id);
  }
  return double(right) / double(truth.size());
}

// Rows that vary along eight directions, and a little along all.
Matrix spread(std::int64_t rows, std::int64_t dim, std::uint64_t seed) {
  const Matrix along(rows, 8, seed), directions(8, dim, 1);
  Matrix all(rows, dim, seed + 1);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < dim; ++j) {
      float& x = all.view()(i, j) *= 0.05f;
      for (std::int64_t l = 0; l < 8; ++l) x += along.view()(i, l) * directions.view()(l, j);
    }
  return all;
}

TEST(VectorGraph, FindsNearlyAllWithAnyMetric) {
  for (const Metric metric : kMetrics)
    for (const std::int64_t dim : {3, 128, 1536}) {
      if (dim > 1000 && metric != Metric::cosine) continue;  // whose codes' axes take seconds
      const Searched searched(ListedMatrix(spread(2000, dim, 7), 40, metric), metric, {32, 16});
      Matrix queries = spread(50, dim, 9);
      if (metric == Metric::cosine) normalise(queries.view());
      const auto truth = searched.exact(queries.view(), 10);
      EXPECT_GE(recall(searched.search(queries.view(), 10, {100, 40}), truth, 10), 0.98)
          << name_of(metric) << " " << dim;
    }
}

TEST(VectorGraph, WithAllVectorsMeasuredItIsExact) {
  for (const Metric metric : kMetrics)
    for (const std::int64_t count : {1, 2, 9, 200}) {
      const Searched searched(ListedMatrix(count, 7, 4, metric), metric, {4, 2});
      const Matrix queries(20, 7, 5);
      EXPECT_EQ(searched.search(queries.view(), 3, {count, count}),
                searched.exact(queries.view(), 3));
    }
}

TEST(VectorGraph, FindsItsFillAmongEqualVectors) {
  Matrix equal(500, 8, 1);
  std::ranges::fill(equal.values, 0.5f);
  const Searched searched(ListedMatrix(std::move(equal), 3, Metric::l2), Metric::l2, {8, 3});
  const Matrix query(1, 8, 5);
  EXPECT_EQ(searched.search(query.view(), 10, {32, 16}), searched.exact(query.view(), 10));
}

// No edge leads from one cluster to another, and a list may hold several.
TEST(VectorGraph, FindsTheRightOneOfClustersFarApart) {
  const Matrix centres(50, 12, 3);
  for (const std::int64_t nlist : {20, 77}) {
    const auto around = [&](std::int64_t rows, std::uint64_t seed) {
      Matrix all(rows, 12, seed);
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < 12; ++j)
          all.view()(i, j) = 8 * centres.view()(i % 50, j) + all.view()(i, j);
      return all;
    };
    const Searched searched(ListedMatrix(around(4000, 5), nlist, Metric::l2), Metric::l2, {16, 8});
    const Matrix queries = around(100, 6);
    const auto truth = searched.exact(queries.view(), 10);
    EXPECT_GE(recall(searched.search(queries.view(), 10, {40, 20}), truth, 10), 0.98) << nlist;
  }
}

// Codes tell nothing of where these are.
TEST(VectorGraph, QueriesFromFarOutsideWalkByDistances) {
  for (const Metric metric : {Metric::l2, Metric::inner_product}) {
    const Searched searched(ListedMatrix(2000, 16, 40, metric), metric, {32, 16});
    Matrix queries(30, 16, 5);
    for (float& x : queries.values) x = 20 * x;
    const auto truth = searched.exact(queries.view(), 10);
    EXPECT_GE(recall(searched.search(queries.view(), 10, {100, 40}), truth, 10), 0.95);
  }
}

TEST(VectorGraph, FindsOnlyWhatIsWanted) {
  const Searched searched(ListedMatrix(1000, 8, 20, Metric::l2), Metric::l2, {16, 8});
  const Matrix queries(30, 8, 5);
  std::vector<std::uint64_t> wanted(16);
  for (std::uint64_t v = 0; v < 1000; v += 3) wanted[v / 64] |= std::uint64_t(1) << (v % 64);
  const auto found = searched.search(queries.view(), 5, {64, 32}, wanted);
  const auto truth = searched.exact(queries.view(), 40);
  for (std::int64_t q = 0; q < 30; ++q) {
    std::vector<Neighbor> its;
    for (std::int64_t i = 0; i < 40 && its.size() < 5; ++i)
      if (const Neighbor& n = truth[std::size_t(q * 40 + i)]; n.id % 3 == 0) its.push_back(n);
    EXPECT_EQ(its, std::vector<Neighbor>(found.begin() + q * 5, found.begin() + q * 5 + 5));
  }
}

TEST(VectorGraph, IsTheSameOnAnyNumberOfThreads) {
  const Searched searched(ListedMatrix(1500, 12, 30, Metric::cosine), Metric::cosine, {16, 4});
  const Matrix queries(64, 12, 5);
  const auto expected = searched.search(queries.view(), 10, {20, 16});
  for (const int threads : {1, 2, 5}) {
    const Threads set(threads);
    EXPECT_EQ(searched.search(queries.view(), 10, {20, 16}), expected);
    EXPECT_EQ(searched.search(queries.view().row_range(3, 1), 10, {20, 16}),
              std::vector<Neighbor>(expected.begin() + 30, expected.begin() + 40));
  }
}

TEST(VectorGraph, RefusesWhatDoesNotFit) {
  const Searched searched(ListedMatrix(20, 4, 2, Metric::l2), Metric::l2, {4, 2});
  const Matrix queries(2, 4, 5);
  VectorGraph graph(searched.space, searched.graph, searched.codes, *searched.entries,
                    {searched.data.view(), 0});
  std::vector<TopK> results = test::accumulators(1, 3);
  EXPECT_THROW(graph.search(queries.view(), {4, 4}, results), std::invalid_argument);
  EXPECT_THROW(VectorGraph(searched.space, searched.graph, searched.codes, *searched.entries,
                           {VectorRows(searched.data.view()).range(0, 10), 0}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
