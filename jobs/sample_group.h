// A group of the vectors that train an index's centroids, and its lists.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"

namespace tutti {

// What is known of a vector: where it belongs, a group or a list; its position in the sample; and
// its distance from there.
struct SampleHeader {
  std::int64_t place, position;
  double distance;
};

// In order of the sample.
struct SampleGroup {
  std::int64_t dim = 0;
  std::vector<float> values;
  std::vector<SampleHeader> headers;

  ConstMatrixView<float> view() const { return {values.data(), std::ssize(headers), dim}; }
};

// One iteration for the group's lists, the first of which is `first_list`, from where each vector
// belongs: empty lists are repaired within the group. Returns the sum of the distances. Local.
double refine_centroids(const SampleGroup& group, std::int64_t first_list, Metric metric,
                        MatrixView<float> centroids);

}  // namespace tutti
