// The register tiles: distances of a few queries to a few groups of packed vectors. Internal to
// kernels/vector.
#pragma once

#include <cstdint>
#include <span>

namespace tutti {

inline constexpr int kTileLanes = 16;   // vectors in a group
inline constexpr int kTileGroups = 3;   // groups in the largest tile
inline constexpr int kTileQueries = 8;  // queries in the largest tile
inline constexpr int kTileVectors = kTileLanes * kTileGroups;
inline constexpr int kPairs = 8;  // pairs measured at a time by TileKernels::l2_pairs

// What a tile reads and writes. Aligned to 64 bytes, save `limits`.
struct TileTask {
  const float* vectors;  // the groups, one behind the other, each [dim][kTileLanes]
  const float* queries;  // [dim][kTileQueries]
  std::int64_t dim;
  const float* bias;    // per vector
  const float* limits;  // per query
  float* values;        // [kTileQueries][kTileVectors]
  // Per query one bit a vector: whether its value is not above the query's limit (NaN is not).
  std::uint64_t* marks;
};

// Measures a tile and returns whether any bit of `marks` is set.
using Tile = bool (*)(const TileTask&);

// Squared distances of kPairs pairs by the same chain as the tiles': query p at queries[p] with
// steps of kTileQueries, vector p at vectors[p] with steps of kTileLanes.
using PairKernel = void (*)(const float* const* queries, const float* const* vectors,
                            std::int64_t dim, float* distances);

// One set of kernels for one vector unit. All sets give the same bytes. Tiles are indexed by
// [groups - 1][log2 of the number of queries].
struct TileKernels {
  const char* name;
  Tile bias_minus_dot[kTileGroups][4];  // value = bias - q.v
  Tile l2[kTileGroups][4];              // value = sum (q - v)^2
  PairKernel l2_pairs;
};

// The sets that this CPU can run, the fastest first.
std::span<const TileKernels* const> available_tile_kernels();

extern const TileKernels kTilesGeneric;
extern const TileKernels kTilesAvx2;
extern const TileKernels kTilesAvx512;

}  // namespace tutti
