#include "kernels/vector/kmeans_cluster.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/core/random.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/kmeans.h"

namespace tutti {
namespace {

void draw(ConstMatrixView<float> vectors, std::uint64_t seed, MatrixView<float> centroids) {
  for (std::int64_t c = 0; c < centroids.rows; ++c) {
    const std::int64_t begin =
        vectors.rows / centroids.rows * c + vectors.rows % centroids.rows * c / centroids.rows;
    const std::int64_t end = vectors.rows / centroids.rows * (c + 1) +
                             vectors.rows % centroids.rows * (c + 1) / centroids.rows;
    const std::uint64_t drawn = random_u64(seed, 0, static_cast<std::uint64_t>(c));
    const std::int64_t row =
        begin + static_cast<std::int64_t>(drawn % static_cast<std::uint64_t>(end - begin));
    std::copy_n(vectors.row(row), vectors.cols, centroids.row(c));
  }
}

}  // namespace

double kmeans_balance(double balance, std::int64_t iteration, std::int64_t iterations) {
  constexpr std::int64_t kSettling = 3;
  return iteration + kSettling < iterations ? balance : 0;
}

Clustering kmeans_cluster(ConstMatrixView<float> vectors, const ClusterOptions& options,
                          MatrixView<float> centroids) {
  if (vectors.cols != centroids.cols || vectors.rows < centroids.rows)
    throw std::invalid_argument("kmeans_cluster: more centroids than vectors, or other ones");
  if (centroids.rows == 0) return {};
  draw(vectors, options.seed, centroids);
  if (options.metric != Metric::l2) normalise(centroids);
  std::vector<Neighbor> nearest(static_cast<std::size_t>(vectors.rows));
  std::vector<double> sums(static_cast<std::size_t>(centroids.rows * centroids.cols));
  const MatrixView<double> sum_rows(sums.data(), centroids.rows, centroids.cols);
  Clustering done;
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    PackedVectors packed;
    packed.pack(VectorRows(centroids));
    assign_nearest(VectorRows(vectors), packed, options.metric, nearest);
    const auto lost = std::ranges::find(nearest, -1, &Neighbor::id);
    if (lost != nearest.end()) return {0, lost - nearest.begin()};
    std::ranges::fill(sums, 0.0);
    std::vector<std::int64_t> counts(static_cast<std::size_t>(centroids.rows));
    kmeans_accumulate(VectorRows(vectors), nearest, sum_rows, counts);
    kmeans_update(MatrixView<const double>(sums.data(), centroids.rows, centroids.cols), counts,
                  options.metric != Metric::l2, centroids,
                  kmeans_balance(options.balance, i, options.iterations));
    done.distance_sum = std::accumulate(
        nearest.begin(), nearest.end(), 0.0,
        [](double sum, const Neighbor& n) { return sum + static_cast<double>(n.distance); });
  }
  return done;
}

}  // namespace tutti
