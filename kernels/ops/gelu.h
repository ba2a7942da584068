// The Gaussian error linear unit (Hendrycks and Gimpel, 2016), with the bias of the product before
// it fused in:
//
//   exact   gelu(u) = u / 2 (1 + erf(u / sqrt(2)))
//   tanh    gelu(u) = u / 2 (1 + tanh(sqrt(2 / pi) (u + 0.044715 u^3)))
//
// All functions run on the calling thread; every element depends on its own inputs alone. They
// throw std::invalid_argument where shapes differ. T is float or bf16.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

enum class GeluForm : std::uint8_t { tanh, exact };

// u = product + bias -> pre, gelu(u) -> out. `pre` may be `product`, where T is float. The forward
// pass takes gelu of u before u is rounded to T.
template <class T>
void bias_gelu(MatrixView<const float> product, const float* bias, MatrixView<T> pre,
               MatrixView<T> out, GeluForm form = GeluForm::tanh);

// d_out gelu'(pre) -> d_pre, and its sums over these rows, in order of rows -> d_bias
// (overwritten). `d_pre` may be `pre`, or `d_out` where T is float.
template <class T>
void gelu_backward(MatrixView<const float> d_out, MatrixView<const T> pre, MatrixView<T> d_pre,
                   float* d_bias, GeluForm form = GeluForm::tanh);

namespace reference {

template <class Real>
Real gelu(Real u, GeluForm form = GeluForm::tanh);
template <class Real>
Real gelu_derivative(Real u, GeluForm form = GeluForm::tanh);

}  // namespace reference
}  // namespace tutti
