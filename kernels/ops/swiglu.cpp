#include "kernels/ops/swiglu.h"

#include <stdexcept>

#include "kernels/ops/swiglu_cpu.h"

namespace tutti {
namespace {

template <class A, class B>
void check(MatrixView<A> a, MatrixView<B> b) {
  if (a.rows != b.rows || a.cols != b.cols) throw std::invalid_argument("swiglu: shapes differ");
}

}  // namespace

template <class T>
void swiglu(MatrixView<const float> gate_product, MatrixView<const float> up_product,
            MatrixView<T> gate, MatrixView<T> up, MatrixView<T> out) {
  check(gate_product, up_product);
  check(gate_product, gate);
  check(gate_product, up);
  check(gate_product, out);
  for (std::int64_t r = 0; r < out.rows; ++r)
    cpu::swiglu_row(gate_product.row(r), up_product.row(r), out.cols, gate.row(r), up.row(r),
                    out.row(r));
}

template <class T>
void swiglu_backward(MatrixView<const float> d_out, MatrixView<const T> gate,
                     MatrixView<const T> up, MatrixView<T> d_gate, MatrixView<T> d_up) {
  check(d_out, gate);
  check(d_out, up);
  check(d_out, d_gate);
  check(d_out, d_up);
  for (std::int64_t r = 0; r < d_out.rows; ++r)
    cpu::swiglu_row_backward(d_out.row(r), gate.row(r), up.row(r), d_out.cols, d_gate.row(r),
                             d_up.row(r));
}

template void swiglu(MatrixView<const float>, MatrixView<const float>, MatrixView<float>,
                     MatrixView<float>, MatrixView<float>);
template void swiglu(MatrixView<const float>, MatrixView<const float>, MatrixView<bf16>,
                     MatrixView<bf16>, MatrixView<bf16>);
template void swiglu_backward(MatrixView<const float>, MatrixView<const float>,
                              MatrixView<const float>, MatrixView<float>, MatrixView<float>);
template void swiglu_backward(MatrixView<const float>, MatrixView<const bf16>,
                              MatrixView<const bf16>, MatrixView<bf16>, MatrixView<bf16>);

}  // namespace tutti
