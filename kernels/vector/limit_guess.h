// A guess of how large the least keys of a query are, before any is known.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/vector/assign.h"

namespace tutti {

// How far a query's nearest vectors are follows closely from how far the centroids are about it:
// the logarithm of a limit is fitted by those of the distances to the lists probed (linear
// regression). A guess is so much above the fit that few limits exceed it, or, a wide one, hardly
// any.
class LimitGuess {
 public:
  // Fits to what some queries' limits have become; infinite ones and queries of which nothing is
  // known are passed over. Returns false, and guesses nothing, where there are too few others.
  bool fit(std::span<const ProbeDistances> near, std::span<const float> limits);

  // Whether there is a fit.
  bool is_ready() const { return ready_; }
  // A limit that few queries like those that were fitted exceed, or hardly any; infinity where
  // nothing is known.
  enum class Margin { usual, wide };
  float guess(const ProbeDistances& near, Margin margin) const;

 private:
  static constexpr std::size_t kTerms = 4;
  using Terms = std::array<double, kTerms>;

  static Terms terms_of(const ProbeDistances& near);
  double fitted(const Terms& terms) const;

  bool ready_ = false;
  Terms weights_{};
  double usual_ = 0, wide_ = 0;
};

}  // namespace tutti
