#include "kernels/optim/gradient_norm.h"

namespace tutti::reference {

void block_square_sums(std::span<const float> gradients, std::span<double> sums) {
  for (std::size_t b = 0; b < sums.size(); ++b) {
    sums[b] = 0;
    for (std::int64_t i = 0; i < kArenaBlock; ++i) {
      const double g = gradients[b * kArenaBlock + i];
      sums[b] += g * g;
    }
  }
}

}  // namespace tutti::reference
