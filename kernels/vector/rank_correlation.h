// How alike two sequences of numbers are ordered.
#pragma once

#include <span>

namespace tutti {

// Spearman's rank correlation: the correlation of the numbers' ranks, where equal numbers share the
// mean of theirs. NaN where it is not defined: fewer than two numbers, all of a side the same, or a
// NaN among them. Throws std::invalid_argument where the sizes differ.
double rank_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace tutti
