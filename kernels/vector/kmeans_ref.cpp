#include <vector>

#include "kernels/vector/kmeans.h"

namespace tutti::reference {
namespace {

template <class T>
void accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest, MatrixView<T> sums,
                std::span<std::int64_t> counts) {
  std::vector<float> row(static_cast<std::size_t>(vectors.dim));
  for (std::int64_t i = 0; i < vectors.count; ++i) {
    const std::int64_t list = nearest[static_cast<std::size_t>(i)].id;
    copy_row(vectors, i, row.data());
    for (std::int64_t j = 0; j < vectors.dim; ++j) sums(list, j) += row[std::size_t(j)];
    ++counts[static_cast<std::size_t>(list)];
  }
}

}  // namespace

void kmeans_accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest,
                       MatrixView<float> sums, std::span<std::int64_t> counts) {
  accumulate(vectors, nearest, sums, counts);
}

void kmeans_accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest,
                       MatrixView<double> sums, std::span<std::int64_t> counts) {
  accumulate(vectors, nearest, sums, counts);
}

}  // namespace tutti::reference
