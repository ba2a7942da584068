// GELU in its tanh form and the gated unit of Llama, in the device's memory; in the stream. T is
// float or bf16.
#pragma once

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti::cuda {

// gelu(product + bias) -> out.
template <class T>
void bias_gelu(MatrixView<const T> product, const float* bias, MatrixView<T> out,
               cudaStream_t stream);
// d_out gelu'(product + bias) -> d_product, which may be `product`; its sums by slabs of rows
// (rows_cuda.h) -> partials.
template <class T>
void bias_gelu_backward(MatrixView<const T> d_out, MatrixView<const T> product, const float* bias,
                        MatrixView<T> d_product, MatrixView<float> partials, cudaStream_t stream);

// silu(gate) up -> out.
template <class T>
void swiglu(MatrixView<const T> gate, MatrixView<const T> up, MatrixView<T> out,
            cudaStream_t stream);
// d_out -> d_gate and d_up, which may take the places of `gate` and `up`.
template <class T>
void swiglu_backward(MatrixView<const T> d_out, MatrixView<const T> gate, MatrixView<const T> up,
                     MatrixView<T> d_gate, MatrixView<T> d_up, cudaStream_t stream);

}  // namespace tutti::cuda
