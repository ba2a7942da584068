#include <cmath>
#include <numbers>

#include "kernels/ops/gelu.h"

namespace tutti::reference {
namespace {

template <class Real>
Real tanh_term(Real u) {
  const Real scale = std::sqrt(2 / std::numbers::pi_v<Real>);
  return std::tanh(scale * (u + Real(0.044715) * u * u * u));
}

// Of the standard normal distribution: the share below u, and the density at u.
template <class Real>
Real share_below(Real u) {
  return std::erfc(-u / std::numbers::sqrt2_v<Real>) / 2;
}
template <class Real>
Real density(Real u) {
  return std::exp(-u * u / 2) / std::sqrt(2 * std::numbers::pi_v<Real>);
}

}  // namespace

template <class Real>
Real gelu(Real u, GeluForm form) {
  return form == GeluForm::exact ? u * share_below(u) : u / 2 * (1 + tanh_term(u));
}

template <class Real>
Real gelu_derivative(Real u, GeluForm form) {
  if (form == GeluForm::exact) return share_below(u) + u * density(u);
  const Real scale = std::sqrt(2 / std::numbers::pi_v<Real>);
  const Real t = tanh_term(u);
  return (1 + t) / 2 + u / 2 * (1 - t * t) * scale * (1 + 3 * Real(0.044715) * u * u);
}

template float gelu(float, GeluForm);
template double gelu(double, GeluForm);
template float gelu_derivative(float, GeluForm);
template double gelu_derivative(double, GeluForm);

}  // namespace tutti::reference
