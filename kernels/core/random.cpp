#include "kernels/core/random.h"

#include <cmath>
#include <numbers>

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

double random_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
  const std::uint64_t first = random_u64(seed, stream, counter);
  const std::uint64_t second = mix(first);
  const double radius = (static_cast<double>(first >> 11) + 1.0) * 0x1p-53;  // (0, 1], for the log
  const double angle = static_cast<double>(second >> 11) * 0x1p-53 * 2.0 * std::numbers::pi;
  return std::sqrt(-2.0 * std::log(radius)) * std::cos(angle);
}

}  // namespace tutti
