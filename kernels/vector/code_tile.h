// The register tiles over byte codes: products of a few queries with a few groups of coded vectors,
// and which are large enough. Internal to kernels/vector.
#pragma once

#include <cstdint>
#include <span>

namespace tutti {

inline constexpr int kCodeLanes = 16;       // vectors in a group
inline constexpr int kCodeTileGroups = 3;   // groups in the largest tile
inline constexpr int kCodeTileQueries = 8;  // queries in a tile
inline constexpr int kCodeTileVectors = kCodeLanes * kCodeTileGroups;

// What a tile reads and writes; `vectors`, `bias` and `values` are aligned to 64 bytes. A step is
// four dimensions.
struct CodeTileTask {
  const std::uint8_t* vectors;  // the groups, one behind the other, each [steps][kCodeLanes][4]
  const std::int8_t* const* queries;  // kCodeTileQueries of them, each [steps][4]
  std::int64_t steps;                 // at least one
  const std::int32_t* bias;           // per vector
  const std::int32_t* start;          // per query
  // [kCodeTileQueries][value_stride], a multiple of kCodeLanes: start + sum of products - bias; and
  // per query one bit a vector: whether its value is not negative. Written as a whole where there
  // is such a value, and otherwise not to be read.
  std::int32_t* values;
  std::int64_t value_stride;
  std::uint64_t* marks;
};

// Computes a tile and returns a bit a query: whether any of its values is not negative.
using CodeTile = unsigned (*)(const CodeTileTask&);

// Pairs of a vector and a query, each by its number.
struct CodePairs {
  std::span<const std::int32_t> vectors;
  const std::uint8_t* queries;
};

// products[i] is the dot product of the codes of pair i, of vectors that stand one behind the other
// and queries that stand anywhere: `bytes` each, a multiple of 64.
using CodeProducts = void (*)(const std::uint8_t* vectors, const std::int8_t* const* queries,
                              std::int64_t bytes, const CodePairs& pairs, std::int32_t* products);

// Writes the places of the values that are not below `least`, ascending, and returns how many there
// are. `places` has room for 16 more than there are values.
using CodeCollect = std::size_t (*)(std::span<const std::int32_t> values, std::int32_t least,
                                    std::int32_t* places);

// The rank-th largest value, counting from one; `rank` is at most their number. By counting, for
// branches on values that follow no pattern cost more than looking at all of them several times.
using CodeLargest = std::int32_t (*)(std::span<const std::int32_t> values, std::size_t rank);

// One set of kernels for one vector unit; all sets give the same integers. Tiles are indexed by
// their groups less one.
struct CodeKernels {
  const char* name;
  CodeTile tile[kCodeTileGroups];
  CodeProducts products;
  CodeCollect collect;
  CodeLargest largest;
};

// The sets that this CPU can run, the fastest first.
std::span<const CodeKernels* const> available_code_kernels();

extern const CodeKernels kCodesGeneric;
extern const CodeKernels kCodesAvx2;
extern const CodeKernels kCodesAvx512Vnni;

}  // namespace tutti
