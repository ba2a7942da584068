// The gated linear unit of Llama (Shazeer, 2020): out = silu(gate) up, silu(x) = x / (1 + exp(-x)).
//
// All functions run on the calling thread; every element depends on its own inputs alone. They
// throw std::invalid_argument where shapes differ. T is float or bf16.
#pragma once

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

// The products with the two weight matrices -> what the backward pass needs of them, and `out`,
// which is taken before they are rounded to T. `gate` and `up` may be the products, where T is
// float.
template <class T>
void swiglu(MatrixView<const float> gate_product, MatrixView<const float> up_product,
            MatrixView<T> gate, MatrixView<T> up, MatrixView<T> out);

// d_out -> d_gate and d_up, which may take the places of `gate` and `up`.
template <class T>
void swiglu_backward(MatrixView<const float> d_out, MatrixView<const T> gate,
                     MatrixView<const T> up, MatrixView<T> d_gate, MatrixView<T> d_up);

namespace reference {

template <class Real>
Real silu(Real x);
template <class Real>
Real silu_derivative(Real x);

}  // namespace reference
}  // namespace tutti
