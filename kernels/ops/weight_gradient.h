// The gradient of a weight matrix: dW[outputs, inputs] += dY^T X, summed over rows in a fixed
// order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/core/scratch.h"
#include "kernels/ops/product.h"

namespace tutti {

// Row counts are multiples of this.
inline constexpr std::int64_t kRowPanel = 64;

struct WeightGradientShape {
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t dy_stride = 0;
  std::int64_t x_stride = 0;
  DType in = DType::f32;  // of dY and X
};

class WeightGradient {
 public:
  // Throws std::invalid_argument for an empty extent or strides that are too short.
  explicit WeightGradient(const WeightGradientShape& shape,
                          ProductBackend backend = ProductBackend::automatic);

  // Parts into which dW is cut, by its shape alone.
  std::int64_t panels() const { return static_cast<std::int64_t>(panels_.size()); }

  // Slots of a ThreadScratch that run() uses.
  static constexpr int kSlots = 2;

  // Adds panel `index` of dY^T X to `gradient` (f32, [outputs, inputs] without gaps), on the
  // calling thread: over chunks of rows, whose boundaries depend on `rows` alone. `rows` is a
  // multiple of kRowPanel.
  void run(std::int64_t index, std::int64_t rows, const void* dy, const void* x, float* gradient,
           ThreadScratch& scratch, int first_slot) const;

 private:
  struct Panel {
    std::int64_t output, outputs, input, inputs;
  };
  std::int64_t largest_chunk() const;
  std::int64_t chunk_of(std::int64_t rows) const;
  const Product& plan(const Panel& panel, std::int64_t rows) const;

  WeightGradientShape shape_;
  bool in_place_ = false;  // products add to the gradient where it stands
  std::vector<Panel> panels_;
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, std::unique_ptr<Product>> plans_;
};

}  // namespace tutti
