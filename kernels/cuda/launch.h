// How kernels are launched: a plain call, which is the same with nvcc and in tests on the CPU.
#pragma once

#include <cstdint>
#include <type_traits>

#include <cuda_runtime.h>

#include "kernels/cuda/check.h"

namespace tutti::cuda {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// `shared` bytes of dynamic shared memory; above 48 KiB, allow_shared() must have been called.
struct LaunchShape {
  dim3 grid, block;
  std::size_t shared = 0;
};

template <class... P>
void launch(const LaunchShape& shape, cudaStream_t stream, void (*kernel)(P...),
            std::type_identity_t<P>... arguments) {
  const cudaLaunchConfig_t config{shape.grid, shape.block, shape.shared, stream, nullptr, 0};
  check(cudaLaunchKernelEx(&config, kernel, arguments...), "launch");
}

template <class Kernel>
void allow_shared(Kernel* kernel, std::size_t bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "cudaFuncSetAttribute");
}

}  // namespace tutti::cuda
