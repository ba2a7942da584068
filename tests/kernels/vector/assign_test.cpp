#include "kernels/vector/assign.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/dtype.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::kInf;
using test::Matrix;

TEST(Assign, ByHandTiesToTheLowest) {
  Matrix vectors(3, 1, 0);
  vectors.values = {0, 5, 10};
  Matrix centroids(3, 1, 0);
  centroids.values = {10, 0, 10};
  std::vector<Neighbor> nearest(3);
  assign_nearest(vectors.view(), PackedVectors(centroids.view()), Metric::l2, nearest);
  EXPECT_EQ(nearest, (std::vector<Neighbor>{{0, 1}, {25, 0}, {0, 0}}));
}

TEST(Assign, EqualsTheDefinitionForAnyThreads) {
  for (const std::int64_t dim : {3, 40, 100}) {
    for (const std::int64_t lists : {1, 16, 300}) {
      const Matrix vectors(700, dim, 1);
      const Matrix centroids(lists, dim, 2);
      const PackedVectors packed{VectorRows(centroids.view())};
      for (const Metric metric : {Metric::l2, Metric::inner_product}) {
        for (const std::int64_t probes : {1, 8}) {
          std::vector<Neighbor> expected(static_cast<std::size_t>(700 * probes));
          reference::assign_probes(vectors.view(), centroids.view(), metric,
                                   {expected.data(), 700, probes});
          for (const int count : {1, 2, 3}) {
            const test::Threads threads(count);
            std::vector<Neighbor> found(expected.size());
            assign_probes(vectors.view(), packed, metric, {found.data(), 700, probes});
            EXPECT_EQ(found, expected);
          }
        }
      }
    }
  }
}

TEST(Assign, NaNAndNoCentroidsGivePadding) {
  Matrix vectors(20, 4, 1);
  vectors.view()(7, 2) = test::kNaN;
  std::vector<Neighbor> nearest(20);
  const Matrix centroids(5, 4, 2);
  assign_nearest(vectors.view(), PackedVectors(centroids.view()), Metric::l2, nearest);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(nearest[i].id == -1, i == 7);
  assign_nearest(vectors.view(), PackedVectors(), Metric::l2, nearest);
  for (const Neighbor& n : nearest) EXPECT_EQ(n, Neighbor{});
}

TEST(Assign, ConvertsVectors) {
  const std::vector<std::uint8_t> bytes{0, 0, 250, 250, 130, 120};
  Matrix centroids(2, 2, 0);
  centroids.values = {255, 255, 0, 0};
  std::vector<Neighbor> nearest(3);
  assign_nearest(VectorRows(bytes.data(), DType::u8, 3, 2, 2), PackedVectors(centroids.view()),
                 Metric::l2, nearest);
  EXPECT_EQ(nearest, (std::vector<Neighbor>{{0, 1}, {50, 0}, {31300, 1}}));
}

TEST(Assign, Misuse) {
  const Matrix vectors(3, 4, 1);
  const PackedVectors centroids{VectorRows(Matrix(2, 5, 1).view())};
  std::vector<Neighbor> nearest(3);
  EXPECT_THROW(assign_nearest(vectors.view(), centroids, Metric::l2, nearest),
               std::invalid_argument);
  EXPECT_THROW(
      assign_nearest(vectors.view(), PackedVectors(), Metric::l2, std::span(nearest).first(2)),
      std::invalid_argument);
}

}  // namespace
}  // namespace tutti
