#include "kernels/optim/gradient_norm.h"

#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/optim/gradient_norm_cpu.h"

namespace tutti {

void block_square_sums(std::span<const float> gradients, std::span<double> sums) {
  if (gradients.size() != sums.size() * kArenaBlock)
    throw std::invalid_argument("gradient norm: one sum a block is needed");
  parallel_for(static_cast<std::int64_t>(sums.size()), [&](std::int64_t block) {
    sums[block] = cpu::square_sum(gradients.data() + block * kArenaBlock, kArenaBlock);
  });
}

float clip_scale(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
}

}  // namespace tutti
