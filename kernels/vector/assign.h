// The coarse quantizer: which centroids are nearest to each vector.
//
// Distances and order are those of scan.h, so ties go to the lowest centroid and nothing depends on
// threads or blocking. Both functions are parallel and throw std::invalid_argument where shapes do
// not fit.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// The nearest centroid of each vector, as index and distance. A vector that has a NaN distance to
// all of them gets padding (id -1), as does every vector where there are no centroids.
void assign_nearest(const VectorRows& vectors, const PackedVectors& centroids, Metric metric,
                    std::span<Neighbor> nearest);

// The probes.cols nearest centroids of each vector, nearest first; padding where there are fewer.
void assign_probes(const VectorRows& vectors, const PackedVectors& centroids, Metric metric,
                   MatrixView<Neighbor> probes);

namespace reference {

void assign_probes(const VectorRows& vectors, const VectorRows& centroids, Metric metric,
                   MatrixView<Neighbor> probes);

}  // namespace reference
}  // namespace tutti
