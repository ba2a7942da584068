#include <algorithm>
#include <cmath>

#include "kernels/ops/softmax.h"

namespace tutti::reference {

template <class Real>
void softmax_row(const Real* scores, int cols, Real scale, Real* out) {
  const Real top = *std::max_element(scores, scores + cols);
  Real sum = 0;
  for (int i = 0; i < cols; ++i) sum += out[i] = std::exp(scale * (scores[i] - top));
  for (int i = 0; i < cols; ++i) out[i] /= sum;
}

template <class Real>
void softmax_row_backward(const Real* p, const Real* d_p, int cols, Real scale, Real* d_scores) {
  Real sum = 0;
  for (int i = 0; i < cols; ++i) sum += p[i] * d_p[i];
  for (int i = 0; i < cols; ++i) d_scores[i] = scale * p[i] * (d_p[i] - sum);
}

template void softmax_row(const float*, int, float, float*);
template void softmax_row(const double*, int, double, double*);
template void softmax_row_backward(const float*, const float*, int, float, float*);
template void softmax_row_backward(const double*, const double*, int, double, double*);

}  // namespace tutti::reference
