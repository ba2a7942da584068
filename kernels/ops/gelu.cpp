#include "kernels/ops/gelu.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/ops/gelu_cpu.h"

namespace tutti {
namespace {

template <class A, class B, class C>
void check_same(MatrixView<A> a, MatrixView<B> b, MatrixView<C> c) {
  if (a.rows != b.rows || a.cols != b.cols || a.rows != c.rows || a.cols != c.cols || a.cols < 1)
    throw std::invalid_argument("gelu: shapes differ");
}

}  // namespace

template <class T>
void bias_gelu(MatrixView<const float> product, const float* bias, MatrixView<T> pre,
               MatrixView<T> out, GeluForm form) {
  check_same(product, pre, out);
  for (std::int64_t r = 0; r < product.rows; ++r)
    cpu::bias_gelu_row(form, product.row(r), bias, product.cols, pre.row(r), out.row(r));
}

template <class T>
void gelu_backward(MatrixView<const float> d_out, MatrixView<const T> pre, MatrixView<T> d_pre,
                   float* d_bias, GeluForm form) {
  check_same(d_out, pre, d_pre);
  std::fill_n(d_bias, d_out.cols, 0.0f);
  for (std::int64_t r = 0; r < d_out.rows; ++r)
    cpu::gelu_backward_row(form, d_out.row(r), pre.row(r), d_out.cols, d_pre.row(r), d_bias);
}

template void bias_gelu(MatrixView<const float>, const float*, MatrixView<float>, MatrixView<float>,
                        GeluForm);
template void bias_gelu(MatrixView<const float>, const float*, MatrixView<bf16>, MatrixView<bf16>,
                        GeluForm);
template void gelu_backward(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                            float*, GeluForm);
template void gelu_backward(MatrixView<const float>, MatrixView<const bf16>, MatrixView<bf16>,
                            float*, GeluForm);

}  // namespace tutti
