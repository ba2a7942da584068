#include <cmath>
#include <vector>

#include "kernels/ops/attention.h"
#include "kernels/ops/softmax.h"

namespace tutti::reference {
namespace {

template <class Real>
Real dot(const Real* a, const Real* b, int size) {
  Real sum = 0;
  for (int i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

// P for all rows.
template <class Real>
std::vector<Real> probabilities(const Real* q, const Real* k, int length, int size) {
  std::vector<Real> p(static_cast<std::size_t>(length) * length);
  for (int i = 0; i < length; ++i) {
    std::vector<Real> scores(length);
    for (int j = 0; j < length; ++j) scores[j] = dot(q + i * size, k + j * size, size);
    softmax_row(scores.data(), length, 1 / std::sqrt(Real(size)), &p[i * length]);
  }
  return p;
}

}  // namespace

template <class Real>
void attention(const Real* q, const Real* k, const Real* v, int length, int size, Real* out) {
  const std::vector<Real> p = probabilities(q, k, length, size);
  for (int i = 0; i < length; ++i)
    for (int c = 0; c < size; ++c) {
      Real sum = 0;
      for (int j = 0; j < length; ++j) sum += p[i * length + j] * v[j * size + c];
      out[i * size + c] = sum;
    }
}

template <class Real>
void attention_backward(const Real* q, const Real* k, const Real* v, const Real* d_out, int length,
                        int size, Real* d_q, Real* d_k, Real* d_v) {
  const std::vector<Real> p = probabilities(q, k, length, size);
  for (int i = 0; i < length * size; ++i) d_q[i] = d_k[i] = d_v[i] = 0;
  std::vector<Real> d_p(length), d_scores(length);
  for (int i = 0; i < length; ++i) {
    for (int j = 0; j < length; ++j) d_p[j] = dot(d_out + i * size, v + j * size, size);
    softmax_row_backward(&p[i * length], d_p.data(), length, 1 / std::sqrt(Real(size)),
                         d_scores.data());
    for (int j = 0; j < length; ++j)
      for (int c = 0; c < size; ++c) {
        d_q[i * size + c] += d_scores[j] * k[j * size + c];
        d_k[j * size + c] += d_scores[j] * q[i * size + c];
        d_v[j * size + c] += p[i * length + j] * d_out[i * size + c];
      }
  }
}

template void attention(const float*, const float*, const float*, int, int, float*);
template void attention(const double*, const double*, const double*, int, int, double*);
template void attention_backward(const float*, const float*, const float*, const float*, int, int,
                                 float*, float*, float*);
template void attention_backward(const double*, const double*, const double*, const double*, int,
                                 int, double*, double*, double*);

}  // namespace tutti::reference
