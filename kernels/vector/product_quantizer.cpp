#include "kernels/vector/product_quantizer.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/vector/assign.h"
#include "kernels/vector/kmeans_cluster.h"

namespace tutti {
namespace {

// A part of each vector, in one piece.
std::vector<float> part_of_vectors(ConstMatrixView<float> vectors, std::int64_t begin,
                                   std::int64_t dim) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(vectors.rows * dim));
  for (std::int64_t i = 0; i < vectors.rows; ++i)
    values.insert(values.end(), vectors.row(i) + begin, vectors.row(i) + begin + dim);
  return values;
}

}  // namespace

ProductQuantizer::ProductQuantizer(ConstMatrixView<float> vectors, std::int64_t parts,
                                   std::uint64_t seed, std::int64_t iterations)
    : parts_(parts), part_dim_(parts > 0 ? vectors.cols / parts : 0) {
  if (parts < 1 || vectors.cols % parts != 0 || vectors.cols == 0)
    throw std::invalid_argument("ProductQuantizer: a vector has no such equal parts");
  if (vectors.rows < kCodewords)
    throw std::invalid_argument("ProductQuantizer: fewer vectors than codewords");
  codewords_.resize(static_cast<std::size_t>(parts * kCodewords * part_dim_));
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::vector<float> values = part_of_vectors(vectors, part * part_dim_, part_dim_);
    const MatrixView<float> words(codewords_.data() + part * kCodewords * part_dim_, kCodewords,
                                  part_dim_);
    const Clustering done = kmeans_cluster(
        {values.data(), vectors.rows, part_dim_},
        {.iterations = iterations, .seed = seed + static_cast<std::uint64_t>(part)}, words);
    if (done.lost) throw std::invalid_argument("ProductQuantizer: a vector is too large");
    packed_.emplace_back(VectorRows(words));
  }
}

void ProductQuantizer::encode(ConstMatrixView<float> vectors,
                              MatrixView<std::uint8_t> codes) const {
  if (vectors.cols != dim() || codes.rows != vectors.rows || codes.cols != parts_)
    throw std::invalid_argument("ProductQuantizer: vectors and codes do not fit");
  std::vector<Neighbor> nearest(static_cast<std::size_t>(vectors.rows));
  for (std::int64_t part = 0; part < parts_; ++part) {
    const VectorRows rows(vectors.data + part * part_dim_, DType::f32, vectors.rows, part_dim_,
                          vectors.stride);
    assign_nearest(rows, packed_[static_cast<std::size_t>(part)], Metric::l2, nearest);
    for (std::int64_t i = 0; i < vectors.rows; ++i) {
      const std::int64_t word = nearest[static_cast<std::size_t>(i)].id;
      if (word < 0) throw std::invalid_argument("ProductQuantizer: a vector is too large");
      codes(i, part) = static_cast<std::uint8_t>(word);
    }
  }
}

std::vector<float> residuals_of(ConstMatrixView<float> vectors, std::span<const float> origin) {
  if (vectors.cols != static_cast<std::int64_t>(origin.size()))
    throw std::invalid_argument("residuals_of: vectors and their origin differ in dimension");
  std::vector<float> residuals;
  residuals.reserve(static_cast<std::size_t>(vectors.rows * vectors.cols));
  for (std::int64_t i = 0; i < vectors.rows; ++i)
    for (std::int64_t j = 0; j < vectors.cols; ++j)
      residuals.push_back(vectors(i, j) - origin[static_cast<std::size_t>(j)]);
  return residuals;
}

}  // namespace tutti
