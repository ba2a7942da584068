#include <stdexcept>

#include "kernels/core/arena.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/vectors.h"
#include "kernels/optim/gradient_norm_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) square_sum(const float* gradients, double* sums) {
  __shared__ double partial[kThreads / 32];
  const float* block = gradients + std::int64_t(blockIdx.x) * kArenaBlock;
  double sum = 0;
  for (int at = int(threadIdx.x) * kChunk; at < kArenaBlock; at += kThreads * kChunk) {
    float g[kChunk];
    load_chunk(block + at, kChunk, g);
    for (int i = 0; i < kChunk; ++i) sum += double(g[i]) * double(g[i]);
  }
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

}  // namespace

void block_square_sums(std::span<const float> gradients, std::span<double> sums,
                       cudaStream_t stream) {
  if (gradients.size() != sums.size() * kArenaBlock)
    throw std::invalid_argument("gradient norm: one sum a block is needed");
  if (sums.empty()) return;
  launch({dim3(unsigned(sums.size())), dim3(kThreads)}, stream, square_sum, gradients.data(),
         sums.data());
}

}  // namespace tutti::cuda
