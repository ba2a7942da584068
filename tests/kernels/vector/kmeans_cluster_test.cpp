#include "kernels/vector/kmeans_cluster.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::Matrix;

std::vector<float> clustered(const Matrix& vectors, std::int64_t lists,
                             const ClusterOptions& options, double* sum = nullptr) {
  Matrix centroids(lists, vectors.cols, 77);  // what they held does not matter
  const Clustering done = kmeans_cluster(vectors.view(), options, centroids.view());
  EXPECT_FALSE(done.lost);
  if (sum) *sum = done.distance_sum;
  return centroids.values;
}

TEST(KmeansCluster, OneCentroidIsTheMean) {
  Matrix vectors(3, 2, 0);
  vectors.values = {0, 1, 2, 3, 7, 5};
  double sum = 0;
  EXPECT_EQ(clustered(vectors, 1, {.iterations = 2}, &sum), (std::vector<float>{3, 3}));
  EXPECT_EQ(sum, 9 + 4 + 1 + 0 + 16 + 4);
}

TEST(KmeansCluster, AsManyCentroidsAsVectorsAreTheVectors) {
  const Matrix vectors(40, 5, 1);
  double sum = 0;
  EXPECT_EQ(clustered(vectors, 40, {}, &sum), vectors.values);
  EXPECT_EQ(sum, 0);
}

TEST(KmeansCluster, ComesNearerWithEachIterationAndIsTheSameForAnyThreads) {
  const Matrix vectors(1500, 20, 1);
  for (const std::int64_t lists : {10, 150}) {
    for (const Metric metric : {Metric::l2, Metric::inner_product}) {
      double first = 0, last = 0;
      const std::vector<float> start = clustered(vectors, lists, {metric, 1, 5}, &first);
      const std::vector<float> end = clustered(vectors, lists, {metric, 8, 5}, &last);
      EXPECT_LT(last, first);
      EXPECT_NE(clustered(vectors, lists, {metric, 8, 6}), end);
      const test::Threads threads(3);
      EXPECT_EQ(clustered(vectors, lists, {metric, 8, 5}), end);
    }
  }
}

TEST(KmeansCluster, RefusesFewerVectorsThanCentroidsAndNamesWhatOverflows) {
  Matrix vectors(5, 3, 1);
  Matrix centroids(6, 3, 1);
  EXPECT_THROW(kmeans_cluster(vectors.view(), {}, centroids.view()), std::invalid_argument);
  for (int j = 0; j < 3; ++j) vectors.view()(3, j) = test::kNaN;
  EXPECT_EQ(kmeans_cluster(vectors.view(), {}, centroids.view().row_range(0, 2)).lost, 3);
}

}  // namespace
}  // namespace tutti
