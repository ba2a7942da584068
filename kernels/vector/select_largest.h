// The largest of a row of integers. Internal to kernels/vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "kernels/vector/code_tile.h"

namespace tutti {

// One thread's scratch for one selection after another.
class LargestValues {
 public:
  // The places of the `wanted` largest values, the largest first, and of equals the first. `wanted`
  // is at most their number. Valid until the next call.
  std::span<const std::int32_t> select(std::span<const std::int32_t> values, std::size_t wanted) {
    places_.resize(values.size() + 16);
    std::size_t found = kernels_.collect(values, estimate(values, wanted), places_.data());
    if (found < wanted)
      found = kernels_.collect(values, std::numeric_limits<std::int32_t>::min(), places_.data());
    keys_.clear();
    for (std::size_t i = 0; i < found; ++i) keys_.push_back(key(values, places_[i]));
    const auto end = keys_.begin() + std::ptrdiff_t(wanted);
    if (end != keys_.end()) std::nth_element(keys_.begin(), end, keys_.end());
    std::sort(keys_.begin(), end);
    for (std::size_t i = 0; i < wanted; ++i)
      places_[i] = static_cast<std::int32_t>(keys_[i] & 0xffffffff);
    return std::span(places_).first(wanted);
  }

 private:
  // What probably some more than `wanted` values reach, by every sixteenth of them.
  std::int32_t estimate(std::span<const std::int32_t> values, std::size_t wanted) {
    constexpr std::size_t kStride = 16;
    sample_.clear();
    for (std::size_t i = 0; i < values.size(); i += kStride) sample_.push_back(values[i]);
    const std::size_t rank = wanted / kStride + wanted / kStride / 2 + 3;
    if (rank >= sample_.size()) return std::numeric_limits<std::int32_t>::min();
    std::nth_element(sample_.begin(), sample_.begin() + std::ptrdiff_t(rank), sample_.end(),
                     std::greater<>());
    return sample_[rank];
  }

  // Ascending keys are descending values, then ascending places.
  static std::int64_t key(std::span<const std::int32_t> values, std::int32_t place) {
    return -(std::int64_t{values[static_cast<std::size_t>(place)]} * (std::int64_t{1} << 32)) +
           place;
  }

  const CodeKernels& kernels_ = *available_code_kernels().front();
  std::vector<std::int32_t> sample_, places_;
  std::vector<std::int64_t> keys_;
};

}  // namespace tutti
