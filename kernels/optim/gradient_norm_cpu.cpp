#include "kernels/optim/gradient_norm_cpu.h"

#include "kernels/core/clones.h"

namespace tutti::cpu {
namespace {

TUTTI_CLONES double sum(const float* __restrict x, std::int64_t size) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < size; ++i) total += static_cast<double>(x[i]) * x[i];
  return total;
}

}  // namespace

double square_sum(const float* x, std::int64_t size) { return sum(x, size); }

}  // namespace tutti::cpu
