#include <cmath>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/vectors.h"
#include "kernels/ops/cross_entropy_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 512;

// A block a row: one pass for the largest logit and the sum of exponentials, each thread over its
// own chunks, and one for the gradient.
template <class T>
__global__ void __launch_bounds__(kThreads)
    rows(MatrixView<T> logits, const std::int32_t* targets, CrossEntropyOptions options,
         bool with_gradient, float* losses) {
  __shared__ float partial[kThreads / 32];
  const std::int64_t row = blockIdx.x, cols = logits.cols;
  T* x = logits.data + row * logits.stride;
  const std::int32_t target = targets[row];
  if (target < 0) {
    if (threadIdx.x == 0) losses[row] = 0;
    const float zeros[kChunk] = {};
    for (std::int64_t at = threadIdx.x * kChunk; with_gradient && at < logits.stride;
         at += kThreads * kChunk)
      store_chunk(x + at, logits.stride - at, zeros);
    return;
  }

  float top = -INFINITY, sum = 0, all = 0;
  for (std::int64_t at = threadIdx.x * kChunk; at < cols; at += kThreads * kChunk) {
    float v[kChunk];
    load_chunk(x + at, cols - at, v);
    float most = top;
    for (int i = 0; i < kChunk; ++i)
      if (at + i < cols) most = fmaxf(most, v[i]);
    sum *= top == most ? 1.0f : expf(top - most);
    for (int i = 0; i < kChunk; ++i)
      if (at + i < cols) sum += expf(v[i] - most), all += v[i];
    top = most;
  }
  const float highest = block_max(top, partial);
  sum = block_sum(sum == 0.0f ? 0.0f : sum * expf(top - highest), partial);
  if (options.smoothing > 0) all = block_sum(all, partial);
  const float log_sum = highest + logf(sum);
  const float at_target = load_one(x + target);
  __syncthreads();  // the gradient takes its place
  if (threadIdx.x == 0)
    losses[row] = log_sum - (1 - options.smoothing) * at_target -
                  options.smoothing * all / float(cols) + options.z_weight * log_sum * log_sum;
  if (!with_gradient) return;

  const float factor = 1 + 2 * options.z_weight * log_sum, each = options.smoothing / float(cols);
  for (std::int64_t at = threadIdx.x * kChunk; at < logits.stride; at += kThreads * kChunk) {
    float v[kChunk];
    load_chunk(x + at, cols - at, v);
    for (int i = 0; i < kChunk; ++i) {
      const bool is_target = at + i == target;
      v[i] = expf(v[i] - log_sum) * factor - each - (is_target ? 1 - options.smoothing : 0.0f);
      if (at + i >= cols) v[i] = 0;
    }
    store_chunk(x + at, logits.stride - at, v);
  }
}

}  // namespace

template <class T>
void cross_entropy(MatrixView<T> logits, const std::int32_t* targets,
                   const CrossEntropyOptions& options, bool with_gradient, float* losses,
                   cudaStream_t stream) {
  launch({dim3(unsigned(logits.rows)), dim3(kThreads)}, stream, rows<T>, logits, targets, options,
         with_gradient, losses);
}

template void cross_entropy(MatrixView<float>, const std::int32_t*, const CrossEntropyOptions&,
                            bool, float*, cudaStream_t);
template void cross_entropy(MatrixView<bf16>, const std::int32_t*, const CrossEntropyOptions&, bool,
                            float*, cudaStream_t);

}  // namespace tutti::cuda
