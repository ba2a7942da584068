// The coarse quantizer: which centroids are nearest to each vector.
//
// Distances and order are those of scan.h, so ties go to the lowest centroid and nothing depends on
// threads or blocking. All functions are parallel and throw std::invalid_argument where shapes do
// not fit.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"
#include "kernels/vector/coded_scan.h"
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

// How near a query is to the lists that it probes: squared distances in steps of the codes' space,
// as codes have them or nearly so. Zeros where they are not finite.
struct ProbeDistances {
  float first = 0;    // to the nearest
  float ordered = 0;  // the mean of those that were to be ordered
  float all = 0;      // the mean of all
};

// Centroids and their codes.
class CodedCentroids {
 public:
  // Both outlive it.
  CodedCentroids(const CodeSpace& space, ConstMatrixView<float> centroids);

  // As assign_nearest above, found by codes. `nearest` holds guesses: the closer the centroid that
  // an id names, the sooner the nearest is found; -1 is none, and one is made by the codes.
  void assign_nearest(const CodedQueries& vectors, std::span<Neighbor> nearest) const;

  // The centroids whose codes are nearest to each query's code, and of equals the lowest: row q of
  // `probes`, which has at most as many columns as there are centroids. The first `ordered`
  // are the nearest, nearest first; the others are in no order that matters. The squared lengths of
  // codes decide, so the order is close to that of the distances, not the same; for a query that
  // has no code which tells something it is the same. It is the prefix that is looked at: the space
  // should have no rest. `near`: of each query, or of none.
  void find_probes(const CodedQueries& queries, MatrixView<std::int32_t> probes,
                   std::int64_t ordered, std::span<ProbeDistances> near = {}) const;

  // Memory that it takes beside the centroids.
  std::int64_t bytes() const { return codes_.bytes() + packed_.bytes(); }

 private:
  void make_guesses(const CodedQueries& vectors, std::span<Neighbor> nearest) const;
  ProbeDistances distances_of(const QueryCodes::Query& query, std::span<const Neighbor> probes,
                              std::int64_t ordered) const;
  void find_by_codes(const QueryCodes& queries, MatrixView<std::int32_t> probes,
                     std::int64_t ordered, std::span<ProbeDistances> near) const;

  const CodeSpace& space_;
  ConstMatrixView<float> centroids_;
  CodedVectors codes_;
  PackedVectors packed_;
};

namespace reference {

void assign_probes(const VectorRows& vectors, const VectorRows& centroids, Metric metric,
                   MatrixView<Neighbor> probes);

}  // namespace reference
}  // namespace tutti
