#include "kernels/vector/grouped_centroids.h"

#include <algorithm>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/vector/assign.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::Matrix;

constexpr std::int64_t kDim = 24;

// Groups of 0, 1, 2, ... centroids.
std::vector<std::int64_t> growing_starts(std::int64_t groups) {
  std::vector<std::int64_t> starts{0};
  for (std::int64_t g = 0; g < groups; ++g) starts.push_back(starts.back() + g);
  return starts;
}

CodeSpace space_of(const Matrix& vectors, Metric metric) {
  return CodeSpace(CodeSpace::train(VectorRows(vectors.view()), metric));
}

std::vector<Neighbor> assigned(const Matrix& vectors, const CodeSpace& space,
                               const CentroidGroups& groups) {
  const QueryCodes codes = space.encode_queries(VectorRows(vectors.view()));
  std::vector<Neighbor> nearest(static_cast<std::size_t>(vectors.rows));
  GroupedCentroids(space, groups).assign_nearest({vectors.view(), &codes}, nearest);
  return nearest;
}

// The definition: all centroids of the groups whose coarse centroids are nearest.
std::vector<Neighbor> by_definition(const Matrix& vectors, Metric metric,
                                    const CentroidGroups& groups) {
  const std::int64_t width = std::min(GroupedCentroids::kProbes, groups.coarse.rows);
  std::vector<Neighbor> probes(static_cast<std::size_t>(vectors.rows * width));
  reference::assign_probes(vectors.view(), groups.coarse, metric,
                           {probes.data(), vectors.rows, width});
  std::vector<Neighbor> nearest;
  for (std::int64_t i = 0; i < vectors.rows; ++i) {
    TopK best(1);
    for (std::int64_t p = 0; p < width; ++p) {
      const auto group = static_cast<std::size_t>(probes[std::size_t(i * width + p)].id);
      for (std::int64_t c = groups.starts[group]; c < groups.starts[group + 1]; ++c)
        best.push(
            {reference::distance(vectors.view().row(i), groups.centroids.row(c), kDim, metric), c});
    }
    nearest.emplace_back();
    best.write_sorted({&nearest.back(), 1});
  }
  return nearest;
}

TEST(GroupedCentroids, EqualTheDefinitionForAnyThreads) {
  const Matrix vectors(600, kDim, 1);
  for (const std::int64_t count : {2, 5, 30}) {
    const std::vector<std::int64_t> starts = growing_starts(count);
    const Matrix centroids(starts.back(), kDim, 2), coarse(count, kDim, 3);
    const CentroidGroups groups{centroids.view(), coarse.view(), starts};
    for (const Metric metric : {Metric::l2, Metric::inner_product}) {
      const std::vector<Neighbor> expected = by_definition(vectors, metric, groups);
      for (const int threads : {1, 3}) {
        const test::Threads set(threads);
        EXPECT_EQ(assigned(vectors, space_of(vectors, metric), groups), expected) << count;
      }
    }
  }
}

TEST(GroupedCentroids, WhatTheSpaceWasTrainedOnDoesNotShow) {
  const Matrix vectors(200, kDim, 1), others(500, kDim, 9);
  const std::vector<std::int64_t> starts = growing_starts(20);
  const Matrix centroids(starts.back(), kDim, 2), coarse(20, kDim, 3);
  const CentroidGroups groups{centroids.view(), coarse.view(), starts};
  EXPECT_EQ(assigned(vectors, space_of(vectors, Metric::l2), groups),
            assigned(vectors, space_of(others, Metric::l2), groups));
}

TEST(GroupedCentroids, NaNGivesPaddingAndShapesAreChecked) {
  Matrix vectors(20, kDim, 1);
  const CodeSpace space = space_of(vectors, Metric::l2);
  vectors.view()(7, 2) = test::kNaN;
  const std::vector<std::int64_t> starts = growing_starts(4);
  const Matrix centroids(starts.back(), kDim, 2), coarse(4, kDim, 3);
  const auto nearest = assigned(vectors, space, {centroids.view(), coarse.view(), starts});
  for (std::size_t i = 0; i < nearest.size(); ++i) EXPECT_EQ(nearest[i].id == -1, i == 7);
  const std::vector<std::int64_t> few = growing_starts(3);
  EXPECT_THROW(GroupedCentroids(space, {centroids.view(), coarse.view(), few}),
               std::invalid_argument);
}

}  // namespace
}  // namespace tutti
