#include <stdexcept>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/vectors.h"
#include "kernels/ops/layer_norm_cuda.h"
#include "kernels/ops/rows_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kMostWarps = int(kNormColumns) / (kChunk * 32);

// A block works on a row, each thread on one chunk of it.
unsigned threads_for(std::int64_t cols) {
  if (cols > kNormColumns) throw std::invalid_argument("layer norm: a row is too wide for a GPU");
  return unsigned(ceil_div(cols, kChunk * 32) * 32);
}

template <class T>
__global__ void __launch_bounds__(kMostWarps * 32) forward(NormForward<T> n) {
  __shared__ float partial[kMostWarps];
  const std::int64_t row = blockIdx.x, cols = n.base.cols, at = std::int64_t(threadIdx.x) * kChunk,
                     valid = cols - at;
  const bool centred = n.weights.kind == NormKind::layer;
  float x[kChunk], more[kChunk];
  load_chunk(n.base.data + row * n.base.stride + at, valid, x);
  if (n.added.data != nullptr) {
    load_chunk(n.added.data + row * n.added.stride + at, valid, more);
    for (int i = 0; i < kChunk; ++i) x[i] += more[i];
    if (n.added_bias != nullptr) {
      load_chunk(n.added_bias + at, valid, more);
      for (int i = 0; i < kChunk; ++i) x[i] += more[i];
    }
    store_chunk(n.sum.data + row * n.sum.stride + at, valid, x);
  }

  float mean = 0;
  if (centred) {
    float sum = 0;
    for (int i = 0; i < kChunk; ++i) sum += x[i];
    mean = block_sum(sum, partial) / float(cols);
  }
  float squares = 0;
  for (int i = 0; i < kChunk; ++i)
    if (i < valid) squares += (x[i] - mean) * (x[i] - mean);
  const float rstd = 1.0f / sqrtf(block_sum(squares, partial) / float(cols) + n.weights.epsilon);
  if (threadIdx.x == 0) {
    n.statistics.mean[row] = mean;
    n.statistics.rstd[row] = rstd;
  }

  float gain[kChunk], bias[kChunk] = {};
  load_chunk(n.weights.gain + at, valid, gain);
  if (centred) load_chunk(n.weights.bias + at, valid, bias);
  for (int i = 0; i < kChunk; ++i) x[i] = (x[i] - mean) * rstd * gain[i] + bias[i];
  store_chunk(n.out.data + row * n.out.stride + at, valid, x);
}

// Two sums over a block. `shared` is another half of the memory each time, so that one barrier is
// enough.
__device__ float2 block_sums(float a, float b, float2* shared) {
  const int warp = int(threadIdx.x) / 32, warps = int(blockDim.x) / 32;
  a = warp_sum(a);
  b = warp_sum(b);
  if (threadIdx.x % 32 == 0) shared[warp] = make_float2(a, b);
  __syncthreads();
  float2 total = shared[0];
  for (int w = 1; w < warps; ++w) {
    total.x += shared[w].x;
    total.y += shared[w].y;
  }
  return total;
}

// A block works on a slab of rows, one after another, so that each thread has its columns' sums in
// registers.
template <class T>
__global__ void __launch_bounds__(kMostWarps * 32) backward(NormBackward<T> n) {
  __shared__ float2 partial[2][kMostWarps];
  const std::int64_t slab = blockIdx.x, cols = n.x.cols, at = std::int64_t(threadIdx.x) * kChunk,
                     valid = cols - at, end = min(n.x.rows, (slab + 1) * kSlabRows);
  const bool centred = n.kind == NormKind::layer;
  float d_gain[kChunk] = {}, d_bias[kChunk] = {}, sums[kChunk] = {};
  for (std::int64_t row = slab * kSlabRows; row < end; ++row) {
    const float mean = centred ? n.statistics.mean[row] : 0.0f, rstd = n.statistics.rstd[row];
    float d_out[kChunk], x[kChunk];
    load_chunk(n.d_out.data + row * n.d_out.stride + at, valid, d_out);
    load_chunk(n.x.data + row * n.x.stride + at, valid, x);
    // Read anew for each row, from the cache: registers are few.
    float gain[kChunk];
    load_chunk(n.gain + at, valid, gain);
    float sum = 0, sum_normal = 0;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      x[i] = i < valid ? (x[i] - mean) * rstd : 0.0f;  // the normal form
      d_gain[i] += d_out[i] * x[i];
      d_bias[i] += d_out[i];
      d_out[i] *= gain[i];
      sum += d_out[i];
      sum_normal += d_out[i] * x[i];
    }
    const float2 all = block_sums(sum, sum_normal, partial[row % 2]);
    const float mean_d = centred ? all.x / float(cols) : 0.0f, mean_dx = all.y / float(cols);
    float d_x[kChunk] = {};
    if (n.d_skip.data != nullptr)
      load_chunk(n.d_skip.data + row * n.d_skip.stride + at, valid, d_x);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      d_x[i] += rstd * (d_out[i] - mean_d - x[i] * mean_dx);
      sums[i] += d_x[i];
    }
    store_chunk(n.d_x.data + row * n.d_x.stride + at, valid, d_x);
    if (n.d_x_narrow.data != nullptr)
      store_chunk(n.d_x_narrow.data + row * n.d_x_narrow.stride + at, valid, d_x);
  }
  float* to = n.partials.data + slab * n.partials.stride + at;
  store_chunk(to, valid, d_gain);
  store_chunk(to + cols, valid, d_bias);
  store_chunk(to + 2 * cols, valid, sums);
}

}  // namespace

template <class T>
void layer_norm(const NormForward<T>& norm, cudaStream_t stream) {
  launch({dim3(unsigned(norm.base.rows)), dim3(threads_for(norm.base.cols))}, stream, forward<T>,
         norm);
}

template <class T>
void layer_norm_backward(const NormBackward<T>& norm, cudaStream_t stream) {
  launch({dim3(unsigned(slabs_of(norm.x.rows))), dim3(threads_for(norm.x.cols))}, stream,
         backward<T>, norm);
}

template void layer_norm(const NormForward<float>&, cudaStream_t);
template void layer_norm(const NormForward<bf16>&, cudaStream_t);
template void layer_norm_backward(const NormBackward<float>&, cudaStream_t);
template void layer_norm_backward(const NormBackward<bf16>&, cudaStream_t);

}  // namespace tutti::cuda
