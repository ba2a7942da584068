#include "jobs/sample_group.h"

#include "kernels/vector/kmeans.h"

namespace tutti {

double refine_centroids(const SampleGroup& group, std::int64_t first_list, Metric metric,
                        MatrixView<float> centroids) {
  std::vector<Neighbor> nearest;
  double sum = 0;
  for (const SampleHeader& header : group.headers) {
    nearest.push_back({0, header.place - first_list});
    sum += header.distance;
  }
  std::vector<double> sums(std::size_t(centroids.rows * centroids.cols));
  std::vector<std::int64_t> counts(std::size_t(centroids.rows));
  kmeans_accumulate(VectorRows(group.view()), nearest,
                    MatrixView<double>(sums.data(), centroids.rows, centroids.cols), counts);
  kmeans_update(MatrixView<const double>(sums.data(), centroids.rows, centroids.cols), counts,
                metric != Metric::l2, centroids);
  return sum;
}

}  // namespace tutti
