#include "kernels/ops/softmax.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/ops/softmax_cpu.h"

namespace tutti {
namespace {

template <class A, class B>
void check(MatrixView<A> a, MatrixView<B> b, std::int64_t valid) {
  if (a.rows != b.rows || a.cols != b.cols) throw std::invalid_argument("softmax: shapes differ");
  if (valid < 1 || valid > a.rows || valid > a.cols)
    throw std::invalid_argument("softmax: the valid square exceeds the matrix");
}

template <class T>
void zero_rows(MatrixView<T> out, std::int64_t first) {
  for (std::int64_t r = first; r < out.rows; ++r) std::fill_n(out.row(r), out.cols, T(0.0f));
}

}  // namespace

template <class T>
void masked_softmax(MatrixView<float> scores, std::int64_t valid, float scale, MatrixView<T> out) {
  check(scores, out, valid);
  for (std::int64_t r = 0; r < valid; ++r)
    cpu::softmax_row(scores.row(r), valid, scores.cols, scale, out.row(r));
  zero_rows(out, valid);
}

template <class T>
void masked_softmax_backward(MatrixView<const T> p, MatrixView<const float> d_p, std::int64_t valid,
                             float scale, MatrixView<T> d_scores) {
  check(p, d_p, valid);
  check(p, d_scores, valid);
  for (std::int64_t r = 0; r < valid; ++r)
    cpu::softmax_row_backward(p.row(r), d_p.row(r), valid, p.cols, scale, d_scores.row(r));
  zero_rows(d_scores, valid);
}

template void masked_softmax(MatrixView<float>, std::int64_t, float, MatrixView<float>);
template void masked_softmax(MatrixView<float>, std::int64_t, float, MatrixView<bf16>);
template void masked_softmax_backward(MatrixView<const float>, MatrixView<const float>,
                                      std::int64_t, float, MatrixView<float>);
template void masked_softmax_backward(MatrixView<const bf16>, MatrixView<const float>, std::int64_t,
                                      float, MatrixView<bf16>);

}  // namespace tutti
