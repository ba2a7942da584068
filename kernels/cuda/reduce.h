// Sums and maxima over the lanes of a warp and the threads of a block, in an order that the number
// of threads alone decides. Every lane gets the result.
#pragma once

#include <cuda_instructions.h>
#include <cuda_runtime.h>

namespace tutti::cuda {

// `shared` has room for one element a warp; a block has whole warps. May be called again with the
// same memory.
template <class T>
__device__ __forceinline__ T block_sum(T value, T* shared) {
  const int warp = int(threadIdx.x) / 32, warps = int(blockDim.x) / 32;
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) shared[warp] = value;
  __syncthreads();
  T total = shared[0];
  for (int w = 1; w < warps; ++w) total += shared[w];
  __syncthreads();
  return total;
}

__device__ __forceinline__ float block_max(float value, float* shared) {
  const int warp = int(threadIdx.x) / 32, warps = int(blockDim.x) / 32;
  value = warp_max(value);
  if (threadIdx.x % 32 == 0) shared[warp] = value;
  __syncthreads();
  float top = shared[0];
  for (int w = 1; w < warps; ++w) top = fmaxf(top, shared[w]);
  __syncthreads();
  return top;
}

}  // namespace tutti::cuda
