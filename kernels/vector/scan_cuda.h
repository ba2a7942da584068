// Exact search on the CUDA device that is current.
#pragma once

#include <memory>

#include <cuda_runtime.h>

#include "kernels/vector/device_scan.h"

namespace tutti::cuda {

// Its work goes into the stream, which outlives it.
std::unique_ptr<DeviceScan> make_scan(cudaStream_t stream);

}  // namespace tutti::cuda
