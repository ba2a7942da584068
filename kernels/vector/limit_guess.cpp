#include "kernels/vector/limit_guess.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tutti {
namespace {

constexpr std::size_t kFewest = 64;  // queries that a fit is worth
constexpr double kExceeding = 0.01;  // of the limits that were fitted
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Solves a x = b by Gaussian elimination; `a` is positive definite.
template <std::size_t N>
std::array<double, N> solve(std::array<std::array<double, N>, N> a, std::array<double, N> b) {
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t j = i + 1; j < N; ++j) {
      const double factor = a[j][i] / a[i][i];
      for (std::size_t c = i; c < N; ++c) a[j][c] -= factor * a[i][c];
      b[j] -= factor * b[i];
    }
  for (std::size_t i = N; i-- > 0;) {
    for (std::size_t c = i + 1; c < N; ++c) b[i] -= a[i][c] * b[c];
    b[i] /= a[i][i];
  }
  return b;
}

}  // namespace

LimitGuess::Terms LimitGuess::terms_of(const ProbeDistances& near) {
  return {1, std::log1p(double(near.first)), std::log1p(double(near.ordered)),
          std::log1p(double(near.all))};
}

double LimitGuess::fitted(const Terms& terms) const {
  double sum = 0;
  for (std::size_t i = 0; i < kTerms; ++i) sum += weights_[i] * terms[i];
  return sum;
}

bool LimitGuess::fit(std::span<const ProbeDistances> near, std::span<const float> limits) {
  if (near.size() != limits.size())
    throw std::invalid_argument("LimitGuess: there must be one limit per query");
  ready_ = false;
  std::vector<std::pair<Terms, double>> known;
  for (std::size_t i = 0; i < near.size(); ++i)
    if (near[i].all > 0 && limits[i] < kInfinity)
      known.emplace_back(terms_of(near[i]), std::log1p(double(limits[i])));
  if (known.size() < kFewest) return false;
  std::array<Terms, kTerms> products{};
  Terms sums{};
  for (const auto& [terms, limit] : known)
    for (std::size_t i = 0; i < kTerms; ++i) {
      for (std::size_t j = 0; j < kTerms; ++j) products[i][j] += terms[i] * terms[j];
      sums[i] += terms[i] * limit;
    }
  // Terms may be the same, as where a single list is probed.
  for (std::size_t i = 0; i < kTerms; ++i) products[i][i] += 1e-6 * double(known.size());
  weights_ = solve(products, sums);
  std::vector<double> above;
  for (const auto& [terms, limit] : known) above.push_back(limit - fitted(terms));
  const auto usual = above.begin() + std::ptrdiff_t((1 - kExceeding) * double(above.size() - 1));
  std::ranges::nth_element(above, usual);
  usual_ = *usual;
  wide_ = *std::max_element(usual, above.end());
  ready_ = std::isfinite(wide_);
  return ready_;
}

float LimitGuess::guess(const ProbeDistances& near, Margin margin) const {
  if (!ready_ || !(near.all > 0)) return kInfinity;
  const double guess =
      std::expm1(fitted(terms_of(near)) + (margin == Margin::wide ? wide_ : usual_));
  return guess >= 0 ? static_cast<float>(guess) : kInfinity;  // what is no number rules nothing out
}

}  // namespace tutti
