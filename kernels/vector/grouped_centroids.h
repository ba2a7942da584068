// Very many centroids in groups: only the groups that are near a vector are looked at.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/coded_scan.h"
#include "kernels/vector/coded_vectors.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// Centroids and the groups that they are in: group g has rows [starts[g], starts[g + 1]) and is
// found by row g of `coarse`. They belong to the caller.
struct CentroidGroups {
  ConstMatrixView<float> centroids, coarse;
  std::span<const std::int64_t> starts;  // one more than there are groups
};

class GroupedCentroids {
 public:
  // Both outlive it. Throws std::invalid_argument where shapes do not fit.
  GroupedCentroids(const CodeSpace& space, const CentroidGroups& groups);

  // The nearest centroid of each vector among those of the kProbes groups whose coarse centroids
  // are nearest to it: a function of the vector and the groups alone. A vector that has a NaN
  // distance to all of them gets padding (id -1). Parallel. Throws std::invalid_argument where the
  // output has not one row per vector.
  static constexpr std::int64_t kProbes = 8;
  void assign_nearest(const CodedQueries& vectors, std::span<Neighbor> nearest) const;

 private:
  void scan(const CodedQueries& vectors, ConstMatrixView<Neighbor> probes,
            std::span<TopK> results) const;

  const CodeSpace& space_;
  CentroidGroups groups_;
  PackedVectors coarse_;
  CodedVectors codes_;
  std::vector<std::int64_t> first_code_groups_;  // of each group
};

}  // namespace tutti
