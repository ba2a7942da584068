// The outcome of CUDA's calls.
#pragma once

#include <cuda_runtime.h>

namespace tutti::cuda {

// Throws DeviceError, naming the call, where it did not succeed.
void check(cudaError_t error, const char* call);

}  // namespace tutti::cuda
