// Counter-based random numbers: a value is a pure function of its keys, so any thread or rank can
// compute any of them, in any order.
#pragma once

#include <cstdint>

namespace tutti {

// 64 random bits for (seed, stream, counter): the SplitMix64 finaliser (Steele, Lea and Flood,
// 2014) over chained keys.
std::uint64_t random_u64(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter);

// Uniform in [0, 1), a multiple of 2^-53.
double random_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter);

// Standard normal: the distribution's quantile of a uniform number, to within 1.2e-9 of it. Within
// 8.2 of zero.
double random_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter);

}  // namespace tutti
