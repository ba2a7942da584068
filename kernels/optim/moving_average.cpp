#include "kernels/optim/moving_average.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "kernels/core/arena.h"
#include "kernels/core/clones.h"
#include "kernels/core/parallel.h"

namespace tutti {
namespace {

TUTTI_CLONES void move_towards(float share, std::int64_t size, const float* __restrict values,
                               float* __restrict average) {
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i) average[i] += share * (values[i] - average[i]);
}

}  // namespace

void update_moving_average(float decay, std::span<const float> values, std::span<float> average) {
  if (values.size() != average.size())
    throw std::invalid_argument("moving average: spans differ in size");
  const std::int64_t size = std::ssize(values);
  parallel_for((size + kArenaBlock - 1) / kArenaBlock, [&](std::int64_t block) {
    const std::int64_t begin = block * kArenaBlock;
    move_towards(1.0f - decay, std::min(kArenaBlock, size - begin), values.data() + begin,
                 average.data() + begin);
  });
}

}  // namespace tutti
