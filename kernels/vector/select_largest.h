// The largest of a row of integers. Internal to kernels/vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace tutti {

// One thread's scratch for one selection after another.
class LargestValues {
 public:
  // The places of the `wanted` largest values, the largest first, and of equals the first. `wanted`
  // is at most their number. Valid until the next call.
  std::span<const std::int32_t> select(std::span<const std::int32_t> values, std::size_t wanted) {
    keys_.resize(values.size());
    std::size_t found = collect(values, estimate(values, wanted));
    if (found < wanted) found = collect(values, std::numeric_limits<std::int32_t>::min());
    std::partial_sort(keys_.begin(), keys_.begin() + std::ptrdiff_t(wanted),
                      keys_.begin() + std::ptrdiff_t(found));
    places_.resize(wanted);
    for (std::size_t i = 0; i < wanted; ++i)
      places_[i] = static_cast<std::int32_t>(keys_[i] & 0xffffffff);
    return places_;
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
  std::size_t collect(std::span<const std::int32_t> values, std::int32_t least) {
    std::int64_t* keys = keys_.data();
    std::size_t found = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      keys[found] = -(std::int64_t{values[i]} * (std::int64_t{1} << 32)) + std::int64_t(i);
      found += values[i] >= least;
    }
    return found;
  }

  std::vector<std::int32_t> sample_, places_;
  std::vector<std::int64_t> keys_;
};

}  // namespace tutti
