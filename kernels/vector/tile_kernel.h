// The body of the register tiles, written once over a vector unit's `Lanes` and compiled by one
// file for each. Everything has internal linkage: code compiled for a wide unit must not be picked
// by the linker for a function that another file shares.
//
// Lanes holds kWidth floats and gives load, broadcast, zero, subtract, fma (fused, rounded once),
// store, and not_above(limit): a bit a lane.
#pragma once

#include <cstdint>

#include "kernels/core/clones.h"
#include "kernels/vector/tile.h"

namespace tutti {
namespace {

enum class Kind { bias_minus_dot, l2 };

template <class Lanes, Kind kKind, int kParts, int kQueries>
TUTTI_INLINE void accumulate(const float* vectors, std::int64_t group_stride, const float* queries,
                             std::int64_t dim, Lanes (&sums)[kQueries][kParts]) {
  constexpr int kPerGroup = kTileLanes / Lanes::kWidth;
  for (std::int64_t j = 0; j < dim; ++j) {
    Lanes v[kParts];
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) {
      v[p] = Lanes::load(vectors + (p / kPerGroup) * group_stride + j * kTileLanes +
                         (p % kPerGroup) * Lanes::kWidth);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) {
      const Lanes q = Lanes::broadcast(queries[j * kTileQueries + i]);
#pragma GCC unroll 8
      for (int p = 0; p < kParts; ++p) {
        if constexpr (kKind == Kind::l2) {
          const Lanes t = Lanes::subtract(q, v[p]);
          sums[i][p] = Lanes::fma(t, t, sums[i][p]);
        } else {
          sums[i][p] = Lanes::fma(q, v[p], sums[i][p]);
        }
      }
    }
  }
}

// kGroups groups from `group` on by kQueries queries from `row` on, in registers.
template <class Lanes, Kind kKind, int kGroups, int kQueries>
TUTTI_INLINE std::uint64_t block(const TileTask& task, int group, int row) {
  constexpr int kParts = kGroups * kTileLanes / Lanes::kWidth;
  const std::int64_t group_stride = task.dim * kTileLanes;
  const int lane = group * kTileLanes;
  Lanes sums[kQueries][kParts];
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) sums[i][p] = Lanes::zero();
  }
  accumulate<Lanes, kKind>(task.vectors + group * group_stride, group_stride, task.queries + row,
                           task.dim, sums);
  std::uint64_t any = 0;
#pragma GCC unroll 8
  for (int i = 0; i < kQueries; ++i) {
    const Lanes limit = Lanes::broadcast(task.limits[row + i]);
    std::uint64_t marks = 0;
#pragma GCC unroll 8
    for (int p = 0; p < kParts; ++p) {
      const int at = lane + p * Lanes::kWidth;
      Lanes value = sums[i][p];
      if constexpr (kKind == Kind::bias_minus_dot) {
        value = Lanes::subtract(Lanes::load(task.bias + at), value);
      }
      value.store(task.values + (row + i) * kTileVectors + at);
      marks |= value.not_above(limit) << at;
    }
    task.marks[row + i] |= marks;
    any |= marks;
  }
  return any;
}

// A whole tile, in blocks of what the unit's registers hold.
template <class Lanes, Kind kKind, int kGroups, int kQueries>
bool tile(const TileTask& task) {
  constexpr int kBlockGroups = Lanes::kMaxGroups < kGroups ? Lanes::kMaxGroups : kGroups;
  constexpr int kBlockQueries = Lanes::kMaxQueries < kQueries ? Lanes::kMaxQueries : kQueries;
  static_assert(kGroups % kBlockGroups == 0 && kQueries % kBlockQueries == 0);
  for (int i = 0; i < kQueries; ++i) task.marks[i] = 0;
  std::uint64_t any = 0;
  for (int row = 0; row < kQueries; row += kBlockQueries) {
    for (int group = 0; group < kGroups; group += kBlockGroups) {
      any |= block<Lanes, kKind, kBlockGroups, kBlockQueries>(task, group, row);
    }
  }
  return any != 0;
}

template <class Lanes>
void l2_pairs(const float* const* queries, const float* const* vectors, std::int64_t dim,
              float* distances) {
  float sums[kPairs] = {};
  for (std::int64_t j = 0; j < dim; ++j) {
#pragma GCC unroll 8
    for (int p = 0; p < kPairs; ++p) {
      const float t = queries[p][j * kTileQueries] - vectors[p][j * kTileLanes];
      sums[p] = __builtin_fmaf(t, t, sums[p]);
    }
  }
  for (int p = 0; p < kPairs; ++p) distances[p] = sums[p];
}

template <class Lanes>
constexpr TileKernels kernels_of(const char* name) {
  constexpr Kind kDot = Kind::bias_minus_dot;
  return {name,
          {{tile<Lanes, kDot, 1, 1>, tile<Lanes, kDot, 1, 2>, tile<Lanes, kDot, 1, 4>,
            tile<Lanes, kDot, 1, 8>},
           {tile<Lanes, kDot, 2, 1>, tile<Lanes, kDot, 2, 2>, tile<Lanes, kDot, 2, 4>,
            tile<Lanes, kDot, 2, 8>},
           {tile<Lanes, kDot, 3, 1>, tile<Lanes, kDot, 3, 2>, tile<Lanes, kDot, 3, 4>,
            tile<Lanes, kDot, 3, 8>}},
          {{tile<Lanes, Kind::l2, 1, 1>, tile<Lanes, Kind::l2, 1, 2>, tile<Lanes, Kind::l2, 1, 4>,
            tile<Lanes, Kind::l2, 1, 8>},
           {tile<Lanes, Kind::l2, 2, 1>, tile<Lanes, Kind::l2, 2, 2>, tile<Lanes, Kind::l2, 2, 4>,
            tile<Lanes, Kind::l2, 2, 8>},
           {tile<Lanes, Kind::l2, 3, 1>, tile<Lanes, Kind::l2, 3, 2>, tile<Lanes, Kind::l2, 3, 4>,
            tile<Lanes, Kind::l2, 3, 8>}},
          l2_pairs<Lanes>};
}

}  // namespace
}  // namespace tutti
