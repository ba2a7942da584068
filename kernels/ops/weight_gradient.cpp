#include "kernels/ops/weight_gradient.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/ops/rows_cpu.h"

namespace tutti {
namespace {

// Rows multiplied at a time: long enough to be fast, short enough to stay in cache.
constexpr std::int64_t kChunk = 512;
constexpr std::int64_t kLargestPanel = 256;
constexpr std::int64_t kPanelWithTail = 128;

// The same where our own kernel packs both operands, one of them once for many inputs, and adds to
// the gradient where it stands, which should not come by often.
constexpr std::int64_t kOwnChunk = 1024;
constexpr std::int64_t kOwnOutputs = 256;
constexpr std::int64_t kOwnInputs = 384;

// The extent of panels along a dimension: one that leaves no tail, where there is one.
std::int64_t panel_extent(std::int64_t extent, std::int64_t largest, std::int64_t with_tail) {
  if (extent <= largest) return extent;
  for (std::int64_t panel = largest; panel >= 64; panel -= 32)
    if (extent % panel == 0) return panel;
  return with_tail;
}

}  // namespace

WeightGradient::WeightGradient(const WeightGradientShape& shape, ProductBackend backend)
    : shape_(shape) {
  if (shape.outputs < 1 || shape.inputs < 1 || shape.dy_stride < shape.outputs ||
      shape.x_stride < shape.inputs)
    throw std::invalid_argument("weight gradient: the shape is inconsistent");
  in_place_ = product_backend(shape.in, backend) == ProductBackend::avx512_bf16;
  const std::int64_t tall = in_place_ ? panel_extent(shape.outputs, kOwnOutputs, kOwnOutputs)
                                      : panel_extent(shape.outputs, kLargestPanel, kPanelWithTail),
                     wide = in_place_ ? panel_extent(shape.inputs, kOwnInputs, kOwnInputs)
                                      : panel_extent(shape.inputs, kLargestPanel, kPanelWithTail);
  for (std::int64_t o = 0; o < shape.outputs; o += tall)
    for (std::int64_t i = 0; i < shape.inputs; i += wide)
      panels_.push_back(
          {o, std::min(tall, shape.outputs - o), i, std::min(wide, shape.inputs - i)});
  for (const Panel& panel : panels_)
    for (std::int64_t rows = kRowPanel; rows <= largest_chunk(); rows *= 2) {
      std::unique_ptr<Product>& plan = plans_[{panel.outputs, panel.inputs, rows}];
      if (plan) continue;
      plan = make_product({1,
                           panel.outputs,
                           panel.inputs,
                           rows,
                           {0, 1, shape.dy_stride},
                           {0, shape.x_stride, 1},
                           {0, in_place_ ? shape.inputs : panel.inputs, 1},
                           shape.in,
                           DType::f32,
                           true},
                          backend);
    }
}

std::int64_t WeightGradient::largest_chunk() const { return in_place_ ? kOwnChunk : kChunk; }

// The largest chunk that fits into the rows that are left: that above, or a half of it, and so on.
std::int64_t WeightGradient::chunk_of(std::int64_t rows) const {
  std::int64_t chunk = largest_chunk();
  while (chunk > rows) chunk /= 2;
  return chunk;
}

const Product& WeightGradient::plan(const Panel& panel, std::int64_t rows) const {
  return *plans_.at({panel.outputs, panel.inputs, rows});
}

void WeightGradient::run(std::int64_t index, std::int64_t rows, const void* dy, const void* x,
                         float* gradient, ThreadScratch& scratch, int first_slot) const {
  if (rows % kRowPanel != 0) throw std::invalid_argument("weight gradient: an odd number of rows");
  const Panel& panel = panels_[index];
  const auto element = static_cast<std::int64_t>(size_of(shape_.in));
  const auto* left = static_cast<const std::byte*>(dy) + panel.output * element;
  const auto* right = static_cast<const std::byte*>(x) + panel.input * element;
  float* target = gradient + panel.output * shape_.inputs + panel.input;
  float* sum = target;
  if (!in_place_) {
    sum = scratch.get<float>(first_slot, panel.outputs * panel.inputs);
    std::fill_n(sum, panel.outputs * panel.inputs, 0.0f);
  }
  for (std::int64_t row = 0; row < rows;) {
    const std::int64_t chunk = chunk_of(rows - row);
    const Product& product = plan(panel, chunk);
    product.run(left + row * shape_.dy_stride * element, right + row * shape_.x_stride * element,
                sum, scratch.get<std::byte>(first_slot + 1, product.scratch_bytes()));
    row += chunk;
  }
  if (in_place_) return;
  for (std::int64_t r = 0; r < panel.outputs; ++r)
    cpu::accumulate_row(sum + r * panel.inputs, panel.inputs, target + r * shape_.inputs);
}

}  // namespace tutti
