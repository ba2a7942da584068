#include "kernels/vector/kmeans.h"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::Matrix;

template <class T>
void expect_accumulated() {
  const Matrix vectors(1000, 37, 1);
  std::vector<Neighbor> nearest(1000);
  for (std::size_t i = 0; i < 1000; ++i) nearest[i].id = std::int64_t(random_u64(2, 0, i) % 7);
  std::vector<T> expected(7 * 37, T(0.5));
  std::vector<std::int64_t> expected_counts(7, 3);
  reference::kmeans_accumulate(vectors.view(), nearest, MatrixView<T>(expected.data(), 7, 37),
                               expected_counts);
  for (const int count : {1, 2, 3}) {
    const test::Threads threads(count);
    std::vector<T> sums(7 * 37, T(0.5));
    std::vector<std::int64_t> counts(7, 3);
    kmeans_accumulate(vectors.view(), nearest, MatrixView<T>(sums.data(), 7, 37), counts);
    EXPECT_EQ(sums, expected);
    EXPECT_EQ(counts, expected_counts);
  }
}

TEST(KmeansAccumulate, EqualsTheDefinitionForAnyThreads) {
  expect_accumulated<float>();
  expect_accumulated<double>();
}

TEST(KmeansAccumulate, ByHand) {
  Matrix vectors(3, 2, 0);
  vectors.values = {1, 2, 3, 4, 5, 6};
  const std::vector<Neighbor> nearest{{0, 1}, {0, 0}, {0, 1}};
  std::vector<double> sums(4);
  std::vector<std::int64_t> counts(2);
  kmeans_accumulate(vectors.view(), nearest, MatrixView<double>(sums.data(), 2, 2), counts);
  EXPECT_EQ(sums, (std::vector<double>{3, 4, 6, 8}));
  EXPECT_EQ(counts, (std::vector<std::int64_t>{1, 2}));
}

TEST(KmeansAccumulate, MisuseAddsNothing) {
  const Matrix vectors(2, 2, 1);
  std::vector<float> sums(4);
  std::vector<std::int64_t> counts(2);
  const MatrixView<float> view(sums.data(), 2, 2);
  for (const std::int64_t id : {-1, 2}) {
    const std::vector<Neighbor> nearest{{0, 1}, {0, id}};
    EXPECT_THROW(kmeans_accumulate(vectors.view(), nearest, view, counts), std::invalid_argument);
  }
  EXPECT_EQ(sums, std::vector<float>(4));
  EXPECT_EQ(counts, std::vector<std::int64_t>(2));
}

TEST(KmeansUpdate, MeansAndRepair) {
  // Lists 1 and 3 are empty; list 0 is the largest twice: 9 -> 5 + 4, then 5 -> 3 + 2.
  const std::vector<double> sums{9, 18, 0, 0, 8, 4, 0, 0};
  const std::vector<std::int64_t> counts{9, 0, 4, 0};
  Matrix centroids(4, 2, 1);
  const auto repaired =
      kmeans_update(MatrixView<const double>(sums.data(), 4, 2), counts, false, centroids.view());
  EXPECT_EQ(repaired.empty, 2);
  const float s = 1.0f / 1024;
  const float once[] = {1 * (1 - s), 2 * (1 + s)};
  EXPECT_EQ(centroids.values,
            (std::vector<float>{once[0] * (1 - s), once[1] * (1 + s), 1 + s, 2 * (1 - s), 2, 1,
                                once[0] * (1 + s), once[1] * (1 - s)}));
}

TEST(KmeansUpdate, KeepsWhatCannotBeRepaired) {
  const std::vector<float> sums{3, 0};
  const std::vector<std::int64_t> counts{1, 0};
  Matrix centroids(2, 1, 1);
  centroids.values = {7, 8};
  EXPECT_EQ(
      kmeans_update(MatrixView<const float>(sums.data(), 2, 1), counts, false, centroids.view())
          .empty,
      0);
  EXPECT_EQ(centroids.values, (std::vector<float>{3, 8}));
}

// The lists have 20, 1, 3 and 4 vectors, 7 on average.
ListRepairs update_uneven(double balance, Matrix& centroids) {
  const std::vector<double> sums{20, 40, 6, 7, 6, 9, 4, 8};
  const std::vector<std::int64_t> counts{20, 1, 3, 4};
  return kmeans_update(MatrixView<const double>(sums.data(), 4, 2), counts, false, centroids.view(),
                       balance);
}

TEST(KmeansUpdate, BalanceGivesUpSmallListsForLargeOnes) {
  const float s = 1.0f / 1024, more = 1 + s, less = 1 - s;
  Matrix centroids(4, 2, 1);
  // 20 -> 10 + 10, in place of the one.
  EXPECT_EQ(update_uneven(2, centroids).small, 1);
  EXPECT_EQ(centroids.values, (std::vector<float>{less, 2 * more, more, 2 * less, 2, 3, 1, 2}));
  // Then each of the tens, in place of the three and of the four.
  EXPECT_EQ(update_uneven(1.4, centroids).small, 3);
  EXPECT_EQ(centroids.values,
            (std::vector<float>{less * less, 2 * more * more, more * less, 2 * less * more,
                                less * more, 2 * more * less, more * more, 2 * less * less}));
  EXPECT_EQ(update_uneven(3, centroids).small, 0);
  EXPECT_EQ(update_uneven(0, centroids).small, 0);
  EXPECT_EQ(centroids.values, (std::vector<float>{1, 2, 6, 7, 2, 3, 1, 2}));
}

TEST(KmeansUpdate, SphericalNormalises) {
  const std::vector<float> sums{6, 8};
  const std::vector<std::int64_t> counts{2};
  Matrix centroids(1, 2, 1);
  kmeans_update(MatrixView<const float>(sums.data(), 1, 2), counts, true, centroids.view());
  EXPECT_NEAR(centroids.values[0], 0.6, 1e-6);
  EXPECT_NEAR(centroids.values[1], 0.8, 1e-6);
}

TEST(KmeansUpdate, Misuse) {
  const std::vector<float> sums(2);
  Matrix centroids(2, 1, 1);
  const MatrixView<const float> view(sums.data(), 2, 1);
  const std::vector<std::int64_t> one{1};
  const std::vector<std::int64_t> negative{1, -1};
  EXPECT_THROW(kmeans_update(view, one, false, centroids.view()), std::invalid_argument);
  EXPECT_THROW(kmeans_update(view, negative, false, centroids.view()), std::invalid_argument);
  const std::vector<std::int64_t> counts{1, 1};
  for (const double balance : {-1.0, 0.5})
    EXPECT_THROW(kmeans_update(view, counts, false, centroids.view(), balance),
                 std::invalid_argument);
}

}  // namespace
}  // namespace tutti
