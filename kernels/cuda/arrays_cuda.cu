#include <algorithm>

#include "kernels/cuda/arrays_cuda.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vectors.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 256;

struct Add {
  const float* from;
  float* to;
  __device__ void operator()(std::int64_t at, std::int64_t valid) const {
    float x[kChunk], y[kChunk];
    load_chunk(from + at, valid, x);
    load_chunk(to + at, valid, y);
    for (int i = 0; i < kChunk; ++i) y[i] += x[i];
    store_chunk(to + at, valid, y);
  }
};

struct Swap {
  float *a, *b;
  __device__ void operator()(std::int64_t at, std::int64_t valid) const {
    float x[kChunk], y[kChunk];
    load_chunk(a + at, valid, x);
    load_chunk(b + at, valid, y);
    store_chunk(a + at, valid, y);
    store_chunk(b + at, valid, x);
  }
};

struct MoveAverage {
  float share;
  const float* values;
  float* average;
  __device__ void operator()(std::int64_t at, std::int64_t valid) const {
    float x[kChunk], y[kChunk];
    load_chunk(values + at, valid, x);
    load_chunk(average + at, valid, y);
    for (int i = 0; i < kChunk; ++i) y[i] = fmaf(share, x[i] - y[i], y[i]);
    store_chunk(average + at, valid, y);
  }
};

struct Round {
  const float* from;
  bf16* to;
  __device__ void operator()(std::int64_t at, std::int64_t valid) const {
    float x[kChunk];
    load_chunk(from + at, valid, x);
    store_chunk(to + at, valid, x);
  }
};

template <class Body>
__global__ void __launch_bounds__(kThreads) each_chunk(Body body, std::int64_t size) {
  const std::int64_t at = (std::int64_t(blockIdx.x) * kThreads + threadIdx.x) * kChunk;
  if (at < size) body(at, size - at);
}

template <class Body>
void run(const Body& body, std::size_t size, cudaStream_t stream) {
  if (size == 0) return;
  const auto blocks = ceil_div(std::int64_t(size), kThreads * kChunk);
  launch({dim3(unsigned(blocks)), dim3(kThreads)}, stream, each_chunk<Body>, body,
         std::int64_t(size));
}

}  // namespace

void add(std::span<const float> from, std::span<float> to, cudaStream_t stream) {
  run(Add{from.data(), to.data()}, to.size(), stream);
}

void swap(std::span<float> a, std::span<float> b, cudaStream_t stream) {
  run(Swap{a.data(), b.data()}, a.size(), stream);
}

void move_average(float decay, std::span<const float> values, std::span<float> average,
                  cudaStream_t stream) {
  run(MoveAverage{1 - decay, values.data(), average.data()}, average.size(), stream);
}

void round_to_bf16(std::span<const float> from, std::span<bf16> to, cudaStream_t stream) {
  run(Round{from.data(), to.data()}, to.size(), stream);
}

}  // namespace tutti::cuda
