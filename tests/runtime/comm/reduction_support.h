// Gradients whose sums are known, for the tests of reductions.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/random.h"
#include "runtime/comm/partition.h"
#include "tests/support/mpi_main.h"

namespace tutti::testing {

// Several buckets, and an end that is no whole one.
inline constexpr std::int64_t kSize = 9'000'000 / kArenaBlock * kArenaBlock;
inline constexpr std::int64_t kStride = 997;  // elements that are looked at

inline std::vector<Range> even_slices() {
  std::vector<Range> slices;
  for (int r = 0; r < world().size(); ++r) {
    const Range blocks = part_of(kSize / kArenaBlock, world().size(), r);
    slices.push_back({blocks.begin * kArenaBlock, blocks.end * kArenaBlock});
  }
  return slices;
}

inline float leaf_value(std::int64_t step, std::int64_t leaf, std::int64_t element) {
  return float(std::ldexp(
      random_normal(std::uint64_t(step), std::uint64_t(leaf), std::uint64_t(element / kStride)),
      int(leaf * 5 % 23)));
}

// The definition: neighbours first, then pairs of neighbours, and so on.
inline float tree_value(std::int64_t step, std::int64_t leaves, std::int64_t element) {
  std::vector<float> sums;
  for (std::int64_t leaf = 0; leaf < leaves; ++leaf)
    sums.push_back(leaf_value(step, leaf, element));
  for (std::size_t width = 1; width < sums.size(); width *= 2)
    for (std::size_t at = 0; at + width < sums.size(); at += 2 * width)
      sums[at] += sums[at + width];
  return sums[0];
}

inline void add_leaf(std::span<float> values, std::int64_t begin, std::int64_t end,
                     std::int64_t step, std::int64_t leaf) {
  const std::int64_t first = (begin + kStride - 1) / kStride * kStride;
  for (std::int64_t i = first; i < end; i += kStride)
    values[std::size_t(i)] += leaf_value(step, leaf, i);
}

}  // namespace tutti::testing
