#include "kernels/cuda/memory.h"

#include <string>

#include "kernels/core/device_error.h"
#include "kernels/cuda/check.h"

namespace tutti::cuda::detail {
namespace {

std::string gigabytes(double bytes) {
  const auto tenths = static_cast<std::int64_t>(bytes / 1e8 + 0.5);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GB";
}

}  // namespace

void* allocate_device(std::int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<std::size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // it does not stick
    std::size_t unused = 0, total = 0;
    check(cudaMemGetInfo(&unused, &total), "cudaMemGetInfo");
    throw DeviceError(DeviceError::Kind::full, "the GPU has " + gigabytes(double(unused)) + " of " +
                                                   gigabytes(double(total)) + " left, and " +
                                                   gigabytes(double(bytes)) + " more are needed");
  }
  check(error, "cudaMalloc");
  return memory;
}

void free_device(void* memory) { (void)cudaFree(memory); }

void* allocate_pinned(std::int64_t bytes) {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, static_cast<std::size_t>(bytes), cudaHostAllocDefault),
        "cudaHostAlloc");
  return memory;
}

void free_pinned(void* memory) { (void)cudaFreeHost(memory); }

void copy(void* to, const void* from, std::int64_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault, stream),
        "cudaMemcpyAsync");
}

}  // namespace tutti::cuda::detail
