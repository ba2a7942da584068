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

}  // namespace

template <class Real>
Real gelu(Real u) {
  return u / 2 * (1 + tanh_term(u));
}

template <class Real>
Real gelu_derivative(Real u) {
  const Real scale = std::sqrt(2 / std::numbers::pi_v<Real>);
  const Real t = tanh_term(u);
  return (1 + t) / 2 + u / 2 * (1 - t * t) * scale * (1 + 3 * Real(0.044715) * u * u);
}

template float gelu(float);
template double gelu(double);
template float gelu_derivative(float);
template double gelu_derivative(double);

}  // namespace tutti::reference
