// block_square_sums() of an arena in the device's memory; in the stream.
#pragma once

#include <span>

#include <cuda_runtime.h>

namespace tutti::cuda {

// `sums`, one a block of kArenaBlock elements, are the device's, too.
void block_square_sums(std::span<const float> gradients, std::span<double> sums,
                       cudaStream_t stream);

}  // namespace tutti::cuda
