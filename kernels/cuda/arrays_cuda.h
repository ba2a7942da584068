// Element by element over arrays of floats in the device's memory; in the stream.
#pragma once

#include <span>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

// to += from.
void add(std::span<const float> from, std::span<float> to, cudaStream_t stream);
void swap(std::span<float> a, std::span<float> b, cudaStream_t stream);
// average = average + (1 - decay) (values - average), as update_moving_average().
void move_average(float decay, std::span<const float> values, std::span<float> average,
                  cudaStream_t stream);
// to = from, rounded.
void round_to_bf16(std::span<const float> from, std::span<bf16> to, cudaStream_t stream);

}  // namespace tutti::cuda
