// The squared norm of a gradient, in parts that any number of ranks can add up in the same order.
#pragma once

#include <span>

#include "kernels/core/arena.h"

namespace tutti {

// sums[b] = sum of squares, in double, of block b of kArenaBlock elements of `gradients`. Parallel
// over blocks. Throws std::invalid_argument unless `gradients` holds sums.size() blocks.
void block_square_sums(std::span<const float> gradients, std::span<double> sums);

// The factor that brings a gradient of this norm down to `max_norm`: 1 where it is no longer than
// that, or where max_norm is not positive.
float clip_scale(double norm, double max_norm);

namespace reference {

void block_square_sums(std::span<const float> gradients, std::span<double> sums);

}  // namespace reference
}  // namespace tutti
