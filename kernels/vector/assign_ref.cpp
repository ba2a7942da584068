#include <vector>

#include "kernels/vector/assign.h"

namespace tutti::reference {

void assign_probes(const VectorRows& vectors, const VectorRows& centroids, Metric metric,
                   MatrixView<Neighbor> probes) {
  std::vector<float> vector(static_cast<std::size_t>(vectors.dim));
  std::vector<float> centroid(static_cast<std::size_t>(vectors.dim));
  for (std::int64_t i = 0; i < vectors.count; ++i) {
    copy_row(vectors, i, vector.data());
    TopK nearest(probes.cols);
    for (std::int64_t c = 0; c < centroids.count; ++c) {
      copy_row(centroids, c, centroid.data());
      nearest.push({distance(vector.data(), centroid.data(), vectors.dim, metric), c});
    }
    nearest.write_sorted({probes.row(i), static_cast<std::size_t>(probes.cols)});
  }
}

}  // namespace tutti::reference
