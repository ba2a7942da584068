// The body of the tiles over codes, written once over a vector unit's `Lanes` and compiled by one
// file for each, with internal linkage, like tile_kernel.h.
//
// Lanes holds kWidth 32-bit integers and gives load, broadcast, subtract, both (bitwise and),
// store, negative (a bit a lane), and multiply_add(sum, vectors, query), which adds to each lane
// the products of its four unsigned bytes with the query's four signed ones.
#pragma once

#include <algorithm>
#include <cstdint>

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
  const std::int8_t* queries = task.queries + row * 4;
  for (std::int64_t s = 0; s < task.steps; ++s) {
    Lanes v[kParts];
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p)
      v[p] = Lanes::load(vectors + (p / kPerGroup) * group_bytes + s * kCodeLanes * 4 +
                         (p % kPerGroup) * Lanes::kWidth * 4);
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) {
      const Lanes q = Lanes::broadcast(queries + (s * kCodeTileQueries + i) * 4);
#pragma GCC unroll 8
      for (int p = 0; p < kParts; ++p) sums[i][p] = Lanes::multiply_add(sums[i][p], v[p], q);
    }
  }
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
bool code_tile(const CodeTileTask& task) {
  constexpr int kBlockGroups = Lanes::kMaxGroups < kGroups ? Lanes::kMaxGroups : kGroups;
  constexpr int kQueries = Lanes::kMaxQueries;
  constexpr int kParts = kBlockGroups * kCodeLanes / Lanes::kWidth;
  constexpr bool kWhole = kBlockGroups == kGroups && kQueries == kCodeTileQueries;
  static_assert(kGroups % kBlockGroups == 0 && kCodeTileQueries % kQueries == 0);
  bool any = false;
  if (!kWhole) std::fill_n(task.marks, kCodeTileQueries, 0);
  for (int row = 0; row < kCodeTileQueries; row += kQueries)
    for (int group = 0; group < kGroups; group += kBlockGroups) {
      Lanes sums[kQueries][kParts];
      code_sums<Lanes, kParts, kQueries>(task, group, row, sums);
      const bool found = any_not_negative<Lanes, kParts, kQueries>(sums);
      any |= found;
      if (kWhole && !found) return false;
#pragma GCC unroll 8
      for (int i = 0; i < kQueries; ++i) {
        std::uint64_t marks = 0;
#pragma GCC unroll 8
        for (int p = 0; p < kParts; ++p) {
          const int at = group * kCodeLanes + p * Lanes::kWidth;
          sums[i][p].store(task.values + (row + i) * kCodeTileVectors + at);
          marks |= (sums[i][p].negative() ^ Lanes::kAll) << at;
        }
        if (kWhole)
          task.marks[row + i] = marks;
        else
          task.marks[row + i] |= marks;
      }
    }
  return any;
}

// Lanes::dot(vector, query, bytes) is the dot product of a single pair.
template <class Lanes>
void code_products(const std::uint8_t* vectors, const std::int8_t* queries, std::int64_t bytes,
                   std::span<const CodePair> pairs, std::int32_t* products) {
  for (std::size_t i = 0; i < pairs.size(); ++i)
    products[i] =
        Lanes::dot(vectors + pairs[i].vector * bytes, queries + pairs[i].query * bytes, bytes);
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

template <class Lanes>
constexpr CodeKernels code_kernels_of(const char* name) {
  return {name,
          {code_tile<Lanes, 1>, code_tile<Lanes, 2>, code_tile<Lanes, 3>},
          code_products<Lanes>,
          code_collect<Lanes>};
}

}  // namespace
}  // namespace tutti
