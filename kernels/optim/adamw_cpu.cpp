#include "kernels/optim/adamw_cpu.h"

#include <cmath>

#include "kernels/core/clones.h"

namespace tutti::cpu {
namespace {

TUTTI_CLONES void update(const AdamWFactors& factors, std::int64_t size,
                         const float* __restrict gradients, float* __restrict parameters,
                         float* __restrict first_moment, float* __restrict second_moment) {
  const AdamWFactors f = factors;
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i) {
    const float g = gradients[i] * f.gradient_scale;
    const float m = f.beta1 * first_moment[i] + (1.0f - f.beta1) * g;
    const float v = f.beta2 * second_moment[i] + (1.0f - f.beta2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    const float p = parameters[i];
    parameters[i] = p - (f.step_size * m / (std::sqrt(v * f.inverse_v) + f.epsilon) + f.decay * p);
  }
}

}  // namespace

void adamw_run(const AdamWFactors& factors, std::int64_t size, const float* gradients,
               float* parameters, float* first_moment, float* second_moment) {
  update(factors, size, gradients, parameters, first_moment, second_moment);
}

}  // namespace tutti::cpu
