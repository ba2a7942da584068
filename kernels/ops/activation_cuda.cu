#include "kernels/cuda/launch.h"
#include "kernels/cuda/vectors.h"
#include "kernels/ops/activation_cuda.h"
#include "kernels/ops/rows_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 128;

// A thread has a chunk of columns, and goes through the rows of a slab.
struct Place {
  std::int64_t column, valid, row, end;
};
__device__ Place my_place(std::int64_t rows, std::int64_t cols) {
  const std::int64_t column = (std::int64_t(blockIdx.y) * kThreads + threadIdx.x) * kChunk,
                     row = blockIdx.x * kSlabRows;
  return {column, cols - column, row, min(rows, row + kSlabRows)};
}
LaunchShape grid_of(std::int64_t rows, std::int64_t cols) {
  return {dim3(unsigned(slabs_of(rows)), unsigned(ceil_div(cols, kChunk * kThreads))),
          dim3(kThreads)};
}

constexpr float kScale = 0.7978845608028654f, kCubic = 0.044715f;  // sqrt(2 / pi)

__device__ float gelu(float u) {
  return 0.5f * u * (1.0f + tanhf(kScale * (u + kCubic * u * u * u)));
}
__device__ float gelu_slope(float u) {
  const float t = tanhf(kScale * (u + kCubic * u * u * u));
  return 0.5f * (1.0f + t) + 0.5f * u * (1.0f - t * t) * kScale * (1.0f + 3.0f * kCubic * u * u);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gelu_forward(MatrixView<const T> product, const float* bias, MatrixView<T> out) {
  const Place p = my_place(product.rows, product.cols);
  if (p.valid <= 0) return;
  float b[kChunk];
  load_chunk(bias + p.column, p.valid, b);
#pragma unroll 4
  for (std::int64_t row = p.row; row < p.end; ++row) {
    float u[kChunk];
    load_chunk(product.data + row * product.stride + p.column, p.valid, u);
    for (int i = 0; i < kChunk; ++i) u[i] = gelu(u[i] + b[i]);
    store_chunk(out.data + row * out.stride + p.column, p.valid, u);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gelu_backward(MatrixView<const T> d_out, MatrixView<const T> product, const float* bias,
                  MatrixView<T> d_product, float* partials) {
  const Place p = my_place(product.rows, product.cols);
  if (p.valid <= 0) return;
  float b[kChunk], sums[kChunk] = {};
  load_chunk(bias + p.column, p.valid, b);
#pragma unroll 2
  for (std::int64_t row = p.row; row < p.end; ++row) {
    float u[kChunk], d[kChunk];
    load_chunk(product.data + row * product.stride + p.column, p.valid, u);
    load_chunk(d_out.data + row * d_out.stride + p.column, p.valid, d);
    for (int i = 0; i < kChunk; ++i) {
      d[i] *= gelu_slope(u[i] + b[i]);
      sums[i] += d[i];
    }
    store_chunk(d_product.data + row * d_product.stride + p.column, p.valid, d);
  }
  store_chunk(partials + blockIdx.x * product.cols + p.column, p.valid, sums);
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <class T>
__global__ void __launch_bounds__(kThreads)
    swiglu_forward(MatrixView<const T> gate, MatrixView<const T> up, MatrixView<T> out) {
  const Place p = my_place(gate.rows, gate.cols);
  if (p.valid <= 0) return;
#pragma unroll 4
  for (std::int64_t row = p.row; row < p.end; ++row) {
    float g[kChunk], u[kChunk];
    load_chunk(gate.data + row * gate.stride + p.column, p.valid, g);
    load_chunk(up.data + row * up.stride + p.column, p.valid, u);
    for (int i = 0; i < kChunk; ++i) u[i] *= g[i] * sigmoid(g[i]);
    store_chunk(out.data + row * out.stride + p.column, p.valid, u);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    swiglu_back(MatrixView<const T> d_out, MatrixView<const T> gate, MatrixView<const T> up,
                MatrixView<T> d_gate, MatrixView<T> d_up) {
  const Place p = my_place(gate.rows, gate.cols);
  if (p.valid <= 0) return;
#pragma unroll 2
  for (std::int64_t row = p.row; row < p.end; ++row) {
    float g[kChunk], u[kChunk], d[kChunk];
    load_chunk(gate.data + row * gate.stride + p.column, p.valid, g);
    load_chunk(up.data + row * up.stride + p.column, p.valid, u);
    load_chunk(d_out.data + row * d_out.stride + p.column, p.valid, d);
    for (int i = 0; i < kChunk; ++i) {
      const float s = sigmoid(g[i]), x = g[i];
      g[i] = d[i] * u[i] * s * (1.0f + x * (1.0f - s));
      u[i] = d[i] * x * s;
    }
    store_chunk(d_gate.data + row * d_gate.stride + p.column, p.valid, g);
    store_chunk(d_up.data + row * d_up.stride + p.column, p.valid, u);
  }
}

}  // namespace

template <class T>
void bias_gelu(MatrixView<const T> product, const float* bias, MatrixView<T> out,
               cudaStream_t stream) {
  launch(grid_of(product.rows, product.cols), stream, gelu_forward<T>, product, bias, out);
}

template <class T>
void bias_gelu_backward(MatrixView<const T> d_out, MatrixView<const T> product, const float* bias,
                        MatrixView<T> d_product, MatrixView<float> partials, cudaStream_t stream) {
  launch(grid_of(product.rows, product.cols), stream, gelu_backward<T>, d_out, product, bias,
         d_product, partials.data);
}

template <class T>
void swiglu(MatrixView<const T> gate, MatrixView<const T> up, MatrixView<T> out,
            cudaStream_t stream) {
  launch(grid_of(gate.rows, gate.cols), stream, swiglu_forward<T>, gate, up, out);
}

template <class T>
void swiglu_backward(MatrixView<const T> d_out, MatrixView<const T> gate, MatrixView<const T> up,
                     MatrixView<T> d_gate, MatrixView<T> d_up, cudaStream_t stream) {
  launch(grid_of(gate.rows, gate.cols), stream, swiglu_back<T>, d_out, gate, up, d_gate, d_up);
}

#define TUTTI_INSTANTIATE(T)                                                                   \
  template void bias_gelu(MatrixView<const T>, const float*, MatrixView<T>, cudaStream_t);     \
  template void bias_gelu_backward(MatrixView<const T>, MatrixView<const T>, const float*,     \
                                   MatrixView<T>, MatrixView<float>, cudaStream_t);            \
  template void swiglu(MatrixView<const T>, MatrixView<const T>, MatrixView<T>, cudaStream_t); \
  template void swiglu_backward(MatrixView<const T>, MatrixView<const T>, MatrixView<const T>, \
                                MatrixView<T>, MatrixView<T>, cudaStream_t);
TUTTI_INSTANTIATE(float)
TUTTI_INSTANTIATE(bf16)
#undef TUTTI_INSTANTIATE

}  // namespace tutti::cuda
