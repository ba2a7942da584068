// The body of the tiles over codes, written once over a vector unit's `Lanes` and compiled by one
// file for each, with internal linkage, like tile_kernel.h.
//
// Lanes holds kWidth 32-bit integers and gives load, broadcast, subtract, both (bitwise and),
// store, negative (a bit a lane), and multiply_add(sum, vectors, query), which adds to each lane
// the products of its four unsigned bytes with the query's four signed ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/core/clones.h"
#include "kernels/vector/code_tile.h"

namespace tutti {
namespace {

// kParts registers of vectors from `group` on by kQueries queries from `row` on.
template <class Lanes, int kParts, int kQueries>
TUTTI_INLINE void code_sums(const CodeTileTask& task, int group, int row,
                            Lanes (&sums)[kQueries][kParts]) {
  constexpr int kPerGroup = kCodeLanes / Lanes::kWidth;
  const std::int64_t group_bytes = task.steps * kCodeLanes * 4;
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i) {
    const Lanes start = Lanes::broadcast(task.start + row + i);
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p)
      sums[i][p] =
          Lanes::subtract(start, Lanes::load(task.bias + group * kCodeLanes + p * Lanes::kWidth));
  }
  const std::uint8_t* vectors = task.vectors + group * group_bytes;
  const std::int8_t* queries[kQueries];
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i) queries[i] = task.queries[row + i];
  // Not a loop that may be left at once, with which GCC 12 keeps the sums in memory as well.
  std::int64_t s = 0;
  do {
    Lanes v[kParts];
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p)
      v[p] = Lanes::load(vectors + (p / kPerGroup) * group_bytes + s * kCodeLanes * 4 +
                         (p % kPerGroup) * Lanes::kWidth * 4);
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) {
      const Lanes q = Lanes::broadcast(queries[i] + s * 4);
#pragma GCC unroll 8
      for (int p = 0; p < kParts; ++p) sums[i][p] = Lanes::multiply_add(sums[i][p], v[p], q);
    }
  } while (++s < task.steps);
}

template <class Lanes, int kParts, int kQueries>
TUTTI_INLINE bool any_not_negative(const Lanes (&sums)[kQueries][kParts]) {
  Lanes all = sums[0][0];
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i)
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) all = Lanes::both(all, sums[i][p]);
  return all.negative() != Lanes::kAll;
}

// A whole tile, in blocks of what the unit's registers hold.
template <class Lanes, int kGroups>
unsigned code_tile(const CodeTileTask& task) {
  constexpr int kBlockGroups = Lanes::kMaxGroups < kGroups ? Lanes::kMaxGroups : kGroups;
  constexpr int kQueries = Lanes::kMaxQueries;
  constexpr int kParts = kBlockGroups * kCodeLanes / Lanes::kWidth;
  constexpr bool kWhole = kBlockGroups == kGroups && kQueries == kCodeTileQueries;
  static_assert(kGroups % kBlockGroups == 0 && kCodeTileQueries % kQueries == 0);
  unsigned found = 0;
  if (!kWhole) std::fill_n(task.marks, kCodeTileQueries, 0);
  for (int row = 0; row < kCodeTileQueries; row += kQueries)
    for (int group = 0; group < kGroups; group += kBlockGroups) {
      Lanes sums[kQueries][kParts];
      code_sums<Lanes, kParts, kQueries>(task, group, row, sums);
      if (kWhole && !any_not_negative<Lanes, kParts, kQueries>(sums)) return 0;
#pragma GCC unroll 8
      for (int i = 0; i < kQueries; ++i) {
        std::uint64_t marks = 0;
#pragma GCC unroll 8
        for (int p = 0; p < kParts; ++p) {
          const int at = group * kCodeLanes + p * Lanes::kWidth;
          sums[i][p].store(task.values + (row + i) * task.value_stride + at);
          marks |= (sums[i][p].negative() ^ Lanes::kAll) << at;
        }
        if (kWhole)
          task.marks[row + i] = marks;
        else
          task.marks[row + i] |= marks;
        found |= unsigned{marks != 0} << (row + i);
      }
    }
  return found;
}

// Lanes::dots(vectors, queries, bytes, products) are the dot products of kDots pairs.
template <class Lanes>
void code_products(const std::uint8_t* vectors, const std::int8_t* const* queries,
                   std::int64_t bytes, const CodePairs& pairs, std::int32_t* products) {
  constexpr std::size_t kDots = Lanes::kDots;
  const std::size_t count = pairs.vectors.size();
  const std::uint8_t* of_vectors[kDots];
  const std::int8_t* of_queries[kDots];
  const auto multiply = [&](std::size_t first, std::int32_t * out) __attribute__((always_inline)) {
    for (std::size_t j = 0; j < kDots; ++j) {
      const std::size_t i = std::min(first + j, count - 1);
      of_vectors[j] = vectors + pairs.vectors[i] * bytes;
      of_queries[j] = queries[pairs.queries[i]];
    }
    Lanes::dots(of_vectors, of_queries, bytes, out);
  };
  std::size_t i = 0;
  for (; i + kDots <= count; i += kDots) multiply(i, products + i);
  if (i == count) return;
  std::int32_t last[kDots];
  multiply(i, last);
  std::copy_n(last, count - i, products + i);
}

// The least of those that are not below `bound`, of which there are some.
TUTTI_INLINE std::int32_t least_from(std::int32_t bound, std::span<const std::int32_t> values) {
  std::int32_t least = std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t value : values) least = value >= bound ? std::min(least, value) : least;
  return least;
}

// Lanes::collect, 16 values at a time, and what is left over.
template <class Lanes>
std::size_t code_collect(std::span<const std::int32_t> values, std::int32_t least,
                         std::int32_t* places) {
  std::size_t found = 0, i = 0;
  for (; i + 16 <= values.size(); i += 16)
    found += Lanes::collect(values.data() + i, least, static_cast<std::int32_t>(i), places + found);
  for (; i < values.size(); ++i) {
    places[found] = static_cast<std::int32_t>(i);
    found += values[i] >= least;
  }
  return found;
}

// Bisects what lies between the least and the most value, until just so many are left; Lanes::count
// counts values that are not below one.
template <class Lanes>
std::int32_t code_largest(std::span<const std::int32_t> values, std::size_t rank) {
  std::int32_t least = values[0], most = values[0];
  for (const std::int32_t value : values) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  std::int64_t reached = least, not_reached = std::int64_t{most} + 1;
  while (not_reached - reached > 1) {
    const std::int64_t middle = reached + (not_reached - reached) / 2;
    const auto bound = static_cast<std::int32_t>(middle);
    const std::size_t count = Lanes::count(values.data(), values.size(), bound);
    if (count == rank) return least_from(bound, values);
    reached = count >= rank ? middle : reached;
    not_reached = count >= rank ? not_reached : middle;
  }
  return static_cast<std::int32_t>(reached);
}

// By plain code, without a branch for each value.
TUTTI_INLINE std::size_t collect_16(const std::int32_t* values, std::int32_t least,
                                    std::int32_t first, std::int32_t* places) {
  std::size_t found = 0;
  for (std::int32_t i = 0; i < 16; ++i) {
    places[found] = first + i;
    found += values[i] >= least;
  }
  return found;
}

TUTTI_INLINE std::size_t count_plainly(const std::int32_t* values, std::size_t size,
                                       std::int32_t least) {
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < size; ++i) found += values[i] >= least;
  return found;
}

template <class Lanes>
constexpr CodeKernels code_kernels_of(const char* name) {
  return {name,
          {code_tile<Lanes, 1>, code_tile<Lanes, 2>, code_tile<Lanes, 3>},
          code_products<Lanes>,
          code_collect<Lanes>,
          code_largest<Lanes>};
}

}  // namespace
}  // namespace tutti
