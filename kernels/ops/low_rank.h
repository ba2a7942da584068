// A low-rank addition to a linear layer whose own weights stay as they are (Hu et al., 2021):
//
//   y += low B^T,   low = scale x A^T,   A: [rank, inputs], B: [outputs, rank]
//
// and its gradients: d_low = scale dy B, dx += d_low A, dB += dy^T low, dA += d_low^T x. Works on
// row panels, each on the calling thread; `low` and `d_low` are rounded to the type of x and dy.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/weight_gradient.h"

namespace tutti {

struct LowRankShape {
  std::int64_t rows = 0;  // of each panel
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t rank = 0;
  float scale = 1;
  // Between rows, in elements; x, dy, low and d_low are of the compute type, y and dx are f32.
  std::int64_t x_stride = 0, y_stride = 0, dy_stride = 0, dx_stride = 0, low_stride = 0;
};

// T is float or bf16. Its blocks of outputs, and of inputs, are those of a Linear with as many.
template <class T>
class LowRank {
 public:
  // Throws std::invalid_argument as Linear does.
  explicit LowRank(const LowRankShape& shape, ProductBackend backend = ProductBackend::automatic);

  // Packs A and B.
  void load(const float* a, const float* b);

  // Scratch that each of the following takes.
  std::int64_t scratch_bytes() const;

  void low(const T* x, MatrixView<T> low, std::byte* scratch) const;
  // y += low B^T; of a block, y points to its first column.
  void add(const T* low, float* y, std::byte* scratch) const;
  void add_block(std::int64_t block, const T* low, float* y, std::byte* scratch) const;

  void d_low(const T* dy, MatrixView<T> d_low, std::byte* scratch) const;
  // dx += d_low A; of a block, dx points to its first column.
  void add_dx(const T* d_low, float* dx, std::byte* scratch) const;
  void add_dx_block(std::int64_t block, const T* d_low, float* dx, std::byte* scratch) const;

 private:
  std::byte* product_scratch(std::byte* scratch) const { return scratch + wide_bytes_; }
  void round(const float* wide, MatrixView<T> to) const;

  LowRankShape shape_;
  std::int64_t wide_stride_, wide_bytes_;
  Linear down_, up_;  // A and B
};

// The gradients of A and B, over all rows.
struct LowRankGradients {
  // As WeightGradient's.
  explicit LowRankGradients(const LowRankShape& shape, DType in,
                            ProductBackend backend = ProductBackend::automatic)
      : a({shape.rank, shape.inputs, shape.low_stride, shape.x_stride, in}, backend),
        b({shape.outputs, shape.rank, shape.dy_stride, shape.low_stride, in}, backend) {}
  WeightGradient a, b;
};

}  // namespace tutti
