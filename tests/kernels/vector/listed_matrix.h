// Vectors in lists around some of them, for the tests of graphs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/vector/assign.h"
#include "kernels/vector/graph_build.h"
#include "tests/kernels/vector/support.h"

namespace tutti::test {

// Reproducible numbers, each vector in the list of the nearest of `nlist` centroids, which are rows
// of the same; more lists than rows are empty.
class ListedMatrix {
 public:
  ListedMatrix(std::int64_t rows, std::int64_t dim, std::int64_t nlist, Metric metric)
      : ListedMatrix(Matrix(rows, dim, 17), nlist, metric) {}
  ListedMatrix(Matrix values, std::int64_t nlist, Metric metric)
      : values_(std::move(values)), centroids_(nlist, values_.cols, 99) {
    if (metric == Metric::cosine) normalise(values_.view());
    const std::int64_t dim = values_.cols;
    for (std::int64_t l = 0; l < std::min(nlist, values_.rows); ++l)
      std::copy_n(values_.view().row(l * values_.rows / nlist), dim, centroids_.view().row(l));
    std::vector<Neighbor> nearest(std::size_t(values_.rows));
    assign_nearest(values_.view(), PackedVectors(centroids_.view()), metric, nearest);
    std::vector<float> sorted;
    for (std::int64_t l = 0; l < nlist; ++l) {
      begins_.push_back(std::int64_t(sorted.size()) / dim);
      for (std::int64_t i = 0; i < values_.rows; ++i)
        if (nearest[std::size_t(i)].id == l)
          sorted.insert(sorted.end(), values_.view().row(i), values_.view().row(i) + dim);
    }
    begins_.push_back(values_.rows);
    values_.values = sorted;
  }

  ConstMatrixView<float> view() const { return values_.view(); }
  ListedVectors lists() const { return {view(), begins_, centroids_.view()}; }

 private:
  Matrix values_, centroids_;
  std::vector<std::int64_t> begins_;
};

}  // namespace tutti::test
