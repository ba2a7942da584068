#include "kernels/core/random.h"

#include <cmath>

namespace tutti {
namespace {

std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t random_u64(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
  return mix(mix(mix(seed) ^ stream) ^ counter);
}

double random_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
  return static_cast<double>(random_u64(seed, stream, counter) >> 11) * 0x1p-53;
}

// The inverse of the normal distribution's cumulative function by Acklam's rational approximation
// (2003), to within 1.15e-9 of its value: one polynomial for all but the outer 5 %.
double random_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
  const double u =
      (static_cast<double>(random_u64(seed, stream, counter) >> 11) + 0.5) * 0x1p-53;  // (0, 1)
  constexpr double kTail = 0.02425;
  if (u < kTail || u > 1 - kTail) {
    const double q = std::sqrt(-2 * std::log(u < kTail ? u : 1 - u));
    const double x =
        (((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838e+00) * q -
           2.549732539343734e+00) *
              q +
          4.374664141464968e+00) *
             q +
         2.938163982698783e+00) /
        ((((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e+00) * q +
          3.754408661907416e+00) *
             q +
         1);
    return u < kTail ? x : -x;
  }
  const double q = u - 0.5, r = q * q;
  return (((((-3.969683028665376e+01 * r + 2.209460984245205e+02) * r - 2.759285104469687e+02) * r +
            1.383577518672690e+02) *
               r -
           3.066479806614716e+01) *
              r +
          2.506628277459239e+00) *
         q /
         (((((-5.447609879822406e+01 * r + 1.615858368580409e+02) * r - 1.556989798598866e+02) * r +
            6.680131188771972e+01) *
               r -
           1.328068155288572e+01) *
              r +
          1);
}

}  // namespace tutti
