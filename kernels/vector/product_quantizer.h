// Product quantisation: each of a vector's equal parts becomes the number of the nearest of 256
// vectors that stand for that part, a byte.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/packed_vectors.h"

namespace tutti {

// After training it is only read; threads may share one.
class ProductQuantizer {
 public:
  static constexpr std::int64_t kCodewords = 256;
  static constexpr std::int64_t kIterations = 25;  // of k-means, for each part; as faiss does

  // Finds the codewords of each part by k-means over the vectors, which are finite. A function of
  // the arguments alone, whatever the threads. Parallel. Throws std::invalid_argument where `parts`
  // does not divide their dimension, there are fewer than kCodewords of them, or squared distances
  // of theirs overflow.
  ProductQuantizer(ConstMatrixView<float> vectors, std::int64_t parts, std::uint64_t seed,
                   std::int64_t iterations = kIterations);

  std::int64_t parts() const { return parts_; }
  std::int64_t dim() const { return parts_ * part_dim_; }
  // Row-major [parts, kCodewords, dim / parts].
  std::span<const float> codewords() const { return codewords_; }

  // Row i of `codes`, of parts() columns, is that of vector i. Of codewords that are equally near
  // it is the first. Parallel. Throws std::invalid_argument where shapes do not fit, or a distance
  // is no number.
  void encode(ConstMatrixView<float> vectors, MatrixView<std::uint8_t> codes) const;

 private:
  std::int64_t parts_, part_dim_;
  std::vector<float> codewords_;
  std::vector<PackedVectors> packed_;  // of each part
};

// Each vector less `origin`, row-major. Throws std::invalid_argument where they differ in
// dimension.
std::vector<float> residuals_of(ConstMatrixView<float> vectors, std::span<const float> origin);

}  // namespace tutti
