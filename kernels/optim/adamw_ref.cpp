#include <cmath>

#include "kernels/optim/adamw.h"

namespace tutti::reference {

template <class Real>
void adamw_element(const AdamWOptions& o, std::int64_t step, bool decay, Real gradient,
                   Real* parameter, Real* first_moment, Real* second_moment) {
  *first_moment = o.beta1 * *first_moment + (1 - Real(o.beta1)) * gradient;
  *second_moment = o.beta2 * *second_moment + (1 - Real(o.beta2)) * gradient * gradient;
  const Real m = *first_moment / (1 - std::pow(Real(o.beta1), Real(step)));
  const Real v = *second_moment / (1 - std::pow(Real(o.beta2), Real(step)));
  *parameter -= o.learning_rate *
                (m / (std::sqrt(v) + o.epsilon) + (decay ? o.weight_decay : 0) * *parameter);
}

template void adamw_element(const AdamWOptions&, std::int64_t, bool, float, float*, float*, float*);
template void adamw_element(const AdamWOptions&, std::int64_t, bool, double, double*, double*,
                            double*);

}  // namespace tutti::reference
