#include "kernels/cuda/check.h"

#include <string>

#include "kernels/core/device_error.h"

namespace tutti::cuda {
namespace {

DeviceError::Kind kind_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return DeviceError::Kind::full;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      return DeviceError::Kind::missing;
    default:
      return DeviceError::Kind::failed;
  }
}

}  // namespace

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  throw DeviceError(kind_of(error), std::string(call) + ": " + cudaGetErrorName(error) + " (" +
                                        cudaGetErrorString(error) + ")");
}

}  // namespace tutti::cuda
