// k-means of vectors that are all in memory, with centroids so few that each is looked at.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"

namespace tutti {

struct ClusterOptions {
  Metric metric = Metric::l2;
  std::int64_t iterations = 10;
  std::uint64_t seed = 1;
  double balance = 0;  // as kmeans_update has it, in the iterations that kmeans_balance names
};

// The balance for one of so many iterations: none in the last ones, which let the lists settle that
// were split.
double kmeans_balance(double balance, std::int64_t iteration, std::int64_t iterations);

// What the last assignment was worth.
struct Clustering {
  double distance_sum = 0;
  std::optional<std::int64_t> lost;  // a vector whose distances overflow; the centroids are then
                                     // worth nothing
};

// Lloyd's iterations from one vector, drawn by the seed, out of each of centroids.rows equal runs
// of vectors; empty lists are repaired as kmeans_update does. Under inner product and cosine the
// centroids are of unit length. A function of the arguments alone, whatever the threads. Parallel.
// Throws std::invalid_argument where there are fewer vectors than centroids, or shapes do not fit.
Clustering kmeans_cluster(ConstMatrixView<float> vectors, const ClusterOptions& options,
                          MatrixView<float> centroids);

}  // namespace tutti
