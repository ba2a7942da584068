#include "jobs/roofline.h"

#include <algorithm>
#include <chrono>

#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "kernels/ops/product.h"

namespace tutti {

double measure_product_rate(DType type) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kRows = 256, kInner = 512, kOuter = 512, kPanels = 8;
  const auto product = make_packed_product({.rows = kRows,
                                            .inner = kInner,
                                            .outer = kOuter,
                                            .x_stride = kInner,
                                            .y_stride = kOuter,
                                            .b_stride = kInner,
                                            .in = type});
  AlignedBuffer<float> weights(kOuter * kInner), y(kPanels * kRows * kOuter);
  AlignedBuffer<std::byte> x(kPanels * kRows * kInner * std::int64_t(sizeof(float)));
  product->pack(weights.data(), DType::f32);
  const std::int64_t scratch_bytes = std::max<std::int64_t>(product->scratch_bytes(), 64);
  AlignedBuffer<std::byte> scratch(scratch_bytes * kPanels);
  const auto pass = [&] {
    parallel_for(kPanels, [&](std::int64_t p) {
      product->run(x.data() + std::size_t(p * kRows * kInner) * size_of(type),
                   y.data() + p * kRows * kOuter, scratch.data() + p * scratch_bytes);
    });
  };
  pass();
  double best = 1e9;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    pass();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  } while (Clock::now() - begin < std::chrono::milliseconds(50));
  return 2.0 * kPanels * kRows * kInner * kOuter / best;
}

}  // namespace tutti
