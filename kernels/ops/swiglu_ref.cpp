#include <cmath>

#include "kernels/ops/swiglu.h"

namespace tutti::reference {

template <class Real>
Real silu(Real x) {
  return x / (1 + std::exp(-x));
}

template <class Real>
Real silu_derivative(Real x) {
  const Real s = 1 / (1 + std::exp(-x));
  return s + x * s * (1 - s);
}

template double silu(double);
template double silu_derivative(double);

}  // namespace tutti::reference
