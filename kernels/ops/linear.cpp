#include "kernels/ops/linear.h"

#include <algorithm>

namespace tutti {
namespace {

constexpr std::int64_t kLargestBlock = 512;
constexpr std::int64_t kSmallestBlock = 128;

}  // namespace

// The largest extent that leaves no smaller last block, where there is one.
std::int64_t Linear::block_of(std::int64_t extent) {
  if (extent <= kLargestBlock) return extent;
  for (std::int64_t block = kLargestBlock; block >= kSmallestBlock; block -= 32)
    if (extent % block == 0) return block;
  return kLargestBlock;
}

Linear::Linear(const LinearShape& shape, ProductBackend backend)
    : shape_(shape), block_(block_of(shape.cut_outputs ? shape.outputs : shape.inputs)) {
  const std::int64_t extent = shape.cut_outputs ? shape.outputs : shape.inputs;
  for (std::int64_t first = 0; first < extent; first += block_) {
    const std::int64_t size = std::min(block_, extent - first);
    const std::int64_t outputs = shape_.cut_outputs ? size : shape.outputs;
    const std::int64_t inputs = shape_.cut_outputs ? shape.inputs : size;
    PackedShape forward{shape.rows,     inputs,       outputs, shape.x_stride,
                        shape.y_stride, shape.inputs, true,    shape.in};
    PackedShape backward{shape.rows,      outputs,      inputs, shape.dy_stride,
                         shape.dx_stride, shape.inputs, false,  shape.in};
    (shape_.cut_outputs ? backward : forward).accumulate = first > 0;
    if (shape.y_adds) forward.accumulate = true;
    if (shape.dx_adds) backward.accumulate = true;
    forward.b_stays = backward.b_stays = shape.weights_stay;
    forward_.push_back(make_packed_product(forward, backend));
    backward_.push_back(make_packed_product(backward, backend));
  }
}

void Linear::pack(std::int64_t task, const float* weights) {
  if (task % 2 == 0)
    pack_forward(task / 2, weights, DType::f32);
  else
    pack_backward(task / 2, weights, DType::f32);
}

void Linear::pack_forward(std::int64_t block, const void* weights, DType type) {
  forward_[block]->pack(block_weights(block, weights, type), type);
}

void Linear::pack_backward(std::int64_t block, const void* weights, DType type) {
  backward_[block]->pack(block_weights(block, weights, type), type);
}

bool Linear::in_place() const {
  for (const auto* products : {&forward_, &backward_})
    for (const auto& product : *products)
      if (product->in_place()) return true;
  return false;
}

const void* Linear::block_weights(std::int64_t block, const void* weights, DType type) const {
  const std::int64_t first = block * block_ * (shape_.cut_outputs ? shape_.inputs : 1);
  return static_cast<const std::byte*>(weights) + first * static_cast<std::int64_t>(size_of(type));
}

std::int64_t Linear::scratch_bytes() const {
  std::int64_t bytes = 0;
  for (const auto* products : {&forward_, &backward_})
    for (const auto& product : *products) bytes = std::max(bytes, product->scratch_bytes());
  return bytes;
}

const void* Linear::offset(const void* data, std::int64_t elements) const {
  return static_cast<const std::byte*>(data) +
         elements * static_cast<std::int64_t>(size_of(shape_.in));
}

void Linear::forward_block(std::int64_t block, const void* x, float* y, std::byte* scratch) const {
  const std::int64_t first = block * block_;
  if (shape_.cut_outputs)
    forward_[block]->run(x, y + first, scratch);
  else
    forward_[block]->run(offset(x, first), y, scratch);
}

void Linear::backward_block(std::int64_t block, const void* dy, float* dx,
                            std::byte* scratch) const {
  const std::int64_t first = block * block_;
  if (shape_.cut_outputs)
    backward_[block]->run(offset(dy, first), dx, scratch);
  else
    backward_[block]->run(dy, dx + first, scratch);
}

void Linear::forward(const void* x, float* y, std::byte* scratch) const {
  for (std::int64_t block = 0; block < blocks(); ++block) forward_block(block, x, y, scratch);
}

void Linear::backward(const void* dy, float* dx, std::byte* scratch) const {
  for (std::int64_t block = 0; block < blocks(); ++block) backward_block(block, dy, dx, scratch);
}

}  // namespace tutti
