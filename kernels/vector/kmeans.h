// The two halves of a k-means iteration behind the assignment: sums over a piece of the vectors,
// and new centroids from the sums over all of them.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// For every vector i, in ascending order: adds it to row nearest[i].id of `sums` and one to that
// place of `counts`. Each element of `sums` is thus one chain of additions in the order of the
// vectors, continuing from what it held: the same bytes for any number of threads. To be
// independent of the number of ranks as well, start each configured piece from zeros and combine
// the pieces in a fixed tree. T is float or double. Throws std::invalid_argument where shapes do
// not fit or an id is not a row of `sums`; nothing is added then.
template <class T>
void kmeans_accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest,
                       MatrixView<T> sums, std::span<std::int64_t> counts);

extern template void kmeans_accumulate(const VectorRows&, std::span<const Neighbor>,
                                       MatrixView<float>, std::span<std::int64_t>);
extern template void kmeans_accumulate(const VectorRows&, std::span<const Neighbor>,
                                       MatrixView<double>, std::span<std::int64_t>);

// Lists that took half of another's vectors, in place of none or of few of their own.
struct ListRepairs {
  std::int64_t empty = 0, small = 0;
};

// Replaces every centroid whose count is not zero by its mean: the sum, divided in T, rounded to
// float. Then repairs the empty ones, in ascending order: each takes half the count of the list
// that is largest at that moment (the lowest of equals), and that list's centroid c becomes two,
// c_j (1 + s) for the empty one and c_j (1 - s) for the other, s being 1/1024 for even j and
// -1/1024 for odd ones. Where the largest holds fewer than two vectors, an empty centroid stays as
// it was. With `balance`, the same is then done to the smallest list of all (the lowest of equals),
// as long as that holds fewer than 1 / balance of the mean and the largest more than balance times
// the mean: the vectors of the one go to the lists around it. `spherical` then normalises all rows.
// Throws std::invalid_argument where shapes do not fit, a count is negative, or balance is neither
// 0 nor at least 1.
template <class T>
ListRepairs kmeans_update(MatrixView<const T> sums, std::span<const std::int64_t> counts,
                          bool spherical, MatrixView<float> centroids, double balance = 0);

extern template ListRepairs kmeans_update(MatrixView<const float>, std::span<const std::int64_t>,
                                          bool, MatrixView<float>, double);
extern template ListRepairs kmeans_update(MatrixView<const double>, std::span<const std::int64_t>,
                                          bool, MatrixView<float>, double);

namespace reference {

void kmeans_accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest,
                       MatrixView<float> sums, std::span<std::int64_t> counts);
void kmeans_accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest,
                       MatrixView<double> sums, std::span<std::int64_t> counts);

}  // namespace reference
}  // namespace tutti
