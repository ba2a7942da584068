#include <cmath>

#include "kernels/ops/layer_norm.h"

namespace tutti::reference {

template <class Real>
void layer_norm_row(const Real* x, const Real* gain, const Real* bias, int cols, Real* out,
                    Real* mean, Real* rstd, Real epsilon) {
  Real sum = 0;
  for (int i = 0; i < cols; ++i) sum += x[i];
  *mean = sum / cols;
  Real squares = 0;
  for (int i = 0; i < cols; ++i) squares += (x[i] - *mean) * (x[i] - *mean);
  *rstd = 1 / std::sqrt(squares / cols + epsilon);
  for (int i = 0; i < cols; ++i) out[i] = (x[i] - *mean) * *rstd * gain[i] + bias[i];
}

template <class Real>
void layer_norm_row_backward(const Real* d_out, const Real* x, Real mean, Real rstd,
                             const Real* gain, int cols, Real* d_x, Real* d_gain, Real* d_bias) {
  Real sum = 0, sum_normal = 0;
  for (int i = 0; i < cols; ++i) {
    const Real normal = (x[i] - mean) * rstd;
    const Real d_normal = d_out[i] * gain[i];
    sum += d_normal;
    sum_normal += d_normal * normal;
    d_gain[i] += d_out[i] * normal;
    d_bias[i] += d_out[i];
  }
  for (int i = 0; i < cols; ++i) {
    const Real normal = (x[i] - mean) * rstd;
    d_x[i] = rstd * (d_out[i] * gain[i] - sum / cols - normal * sum_normal / cols);
  }
}

template <class Real>
void rms_norm_row(const Real* x, const Real* gain, int cols, Real* out, Real* rstd, Real epsilon) {
  Real squares = 0;
  for (int i = 0; i < cols; ++i) squares += x[i] * x[i];
  *rstd = 1 / std::sqrt(squares / cols + epsilon);
  for (int i = 0; i < cols; ++i) out[i] = x[i] * *rstd * gain[i];
}

template <class Real>
void rms_norm_row_backward(const Real* d_out, const Real* x, Real rstd, const Real* gain, int cols,
                           Real* d_x, Real* d_gain) {
  Real sum_normal = 0;
  for (int i = 0; i < cols; ++i) {
    sum_normal += d_out[i] * gain[i] * x[i] * rstd;
    d_gain[i] += d_out[i] * x[i] * rstd;
  }
  for (int i = 0; i < cols; ++i)
    d_x[i] = rstd * (d_out[i] * gain[i] - x[i] * rstd * sum_normal / cols);
}

template void layer_norm_row(const float*, const float*, const float*, int, float*, float*, float*,
                             float);
template void layer_norm_row(const double*, const double*, const double*, int, double*, double*,
                             double*, double);
template void rms_norm_row(const double*, const double*, int, double*, double*, double);
template void rms_norm_row_backward(const double*, const double*, double, const double*, int,
                                    double*, double*);
template void layer_norm_row_backward(const float*, const float*, float, float, const float*, int,
                                      float*, float*, float*);
template void layer_norm_row_backward(const double*, const double*, double, double, const double*,
                                      int, double*, double*, double*);

}  // namespace tutti::reference
