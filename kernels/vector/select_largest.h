// The largest of a row of integers. Internal to kernels/vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/vector/code_tile.h"

namespace tutti {

// One thread's scratch for one selection after another.
class LargestValues {
 public:
  // The places of the `wanted` largest values, ascending; of equals the first. `wanted` is at most
  // their number. Valid until the next call.
  std::span<const std::int32_t> select(std::span<const std::int32_t> values, std::size_t wanted) {
    places_.resize(values.size() + 16);
    std::size_t found = kernels_.collect(values, estimate(values, wanted), places_.data());
    if (found < wanted)
      found = kernels_.collect(values, std::numeric_limits<std::int32_t>::min(), places_.data());
    kept_.resize(found);
    for (std::size_t i = 0; i < found; ++i) kept_[i] = values[static_cast<std::size_t>(places_[i])];
    if (wanted == 0) return {};
    const std::int32_t least = kernels_.largest(kept_, wanted);
    picks_.resize(found + 16);
    std::size_t picked = kernels_.collect(kept_, least, picks_.data());
    // Of those that are equal to the least, the last have no room.
    for (std::size_t i = picked; picked > wanted;)
      if (kept_[static_cast<std::size_t>(picks_[--i])] == least)
        std::copy(picks_.data() + i + 1, picks_.data() + picked--, picks_.data() + i);
    for (std::size_t i = 0; i < wanted; ++i)
      places_[i] = places_[static_cast<std::size_t>(picks_[i])];
    return std::span(places_).first(wanted);
  }

 private:
  // What probably some more than `wanted` values reach, by every sixteenth of them.
  std::int32_t estimate(std::span<const std::int32_t> values, std::size_t wanted) {
    constexpr std::size_t kStride = 16;
    sample_.resize((values.size() + kStride - 1) / kStride);
    for (std::size_t i = 0; i < sample_.size(); ++i) sample_[i] = values[i * kStride];
    const std::size_t rank = wanted / kStride + wanted / kStride / 2 + 4;
    return rank <= sample_.size() ? kernels_.largest(sample_, rank)
                                  : std::numeric_limits<std::int32_t>::min();
  }

  const CodeKernels& kernels_ = *available_code_kernels().front();
  std::vector<std::int32_t> sample_, places_, kept_, picks_;
};

}  // namespace tutti
