// A weight matrix W [outputs, inputs], packed for products in both directions with row panels.
//
// W is cut along its outputs or its inputs into blocks that stay in a core's cache. A result whose
// columns are cut can be used block by block; one whose inner dimension is cut is summed block by
// block, in order. The cut depends on the shape alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/ops/product.h"

namespace tutti {

struct LinearShape {
  std::int64_t rows = 0;  // of each panel
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  bool cut_outputs = true;    // into blocks of outputs, not of inputs
  DType in = DType::f32;      // of x and dy; y and dx are f32
  std::int64_t x_stride = 0;  // between rows of a panel
  std::int64_t y_stride = 0;
  std::int64_t dy_stride = 0;
  std::int64_t dx_stride = 0;
  bool y_adds = false;        // y += x W^T
  bool dx_adds = false;       // dx += dy W
  bool weights_stay = false;  // as PackedShape::b_stays
};

class Linear {
 public:
  // Throws std::invalid_argument as make_packed_product does.
  explicit Linear(const LinearShape& shape, ProductBackend backend = ProductBackend::automatic);

  // Outputs or inputs of a block, where there are `extent` of them.
  static std::int64_t block_of(std::int64_t extent);

  // Blocks of block_size() outputs or inputs, the last of which may be smaller.
  std::int64_t blocks() const { return static_cast<std::int64_t>(forward_.size()); }
  std::int64_t block_size() const { return block_; }

  // Packing of weights, in independent tasks, each on the calling thread: for both directions, or
  // blocks() tasks for one of them.
  std::int64_t pack_tasks() const { return 2 * blocks(); }
  void pack(std::int64_t task, const float* weights);
  void pack_forward(std::int64_t block, const void* weights, DType type);
  void pack_backward(std::int64_t block, const void* weights, DType type);
  // Whether packing leaves references to the weights, which is possible with weights_stay.
  bool in_place() const;

  // Scratch for any of the following.
  std::int64_t scratch_bytes() const;

  // y = x W^T and dx = dy W for one panel, on the calling thread.
  void forward(const void* x, float* y, std::byte* scratch) const;
  void backward(const void* dy, float* dx, std::byte* scratch) const;

  // The columns of y that belong to one block of outputs, or those of dx that belong to one of
  // inputs, y and dx pointing to the first of them.
  void forward_block_at(std::int64_t block, const void* x, float* y, std::byte* scratch) const {
    forward_[block]->run(x, y, scratch);
  }
  void backward_block_at(std::int64_t block, const void* dy, float* dx, std::byte* scratch) const {
    backward_[block]->run(dy, dx, scratch);
  }

  // The part of them that belongs to one block. `x` and the others point to the whole panel; where
  // the result is a sum over blocks, block 0 overwrites it and the others add to it.
  void forward_block(std::int64_t block, const void* x, float* y, std::byte* scratch) const;
  void backward_block(std::int64_t block, const void* dy, float* dx, std::byte* scratch) const;

 private:
  const void* block_weights(std::int64_t block, const void* weights, DType type) const;
  const void* offset(const void* data, std::int64_t elements) const;

  LinearShape shape_;
  std::int64_t block_;
  std::vector<std::unique_ptr<PackedProduct>> forward_, backward_;
};

}  // namespace tutti
