#include "kernels/vector/tile.h"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "kernels/core/arena.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"
#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

// Every set of kernels that this CPU can run is held to the definition, bit for bit.
struct TileData {
  std::int64_t dim;
  test::Matrix vectors;
  test::Matrix queries;
  PackedVectors packed;
  AlignedBuffer<float> packed_queries;
  AlignedBuffer<float> bias{kTileVectors};
  AlignedBuffer<float> values{kTileQueries * kTileVectors};
  std::vector<float> limits = std::vector<float>(kTileQueries);
  std::uint64_t marks[kTileQueries] = {};

  explicit TileData(std::int64_t dim_)
      : dim(dim_), vectors(kTileVectors, dim, 1), queries(kTileQueries, dim, 2) {
    vectors.view()(17, dim / 2) = test::kNaN;
    packed.pack(vectors.view());
    packed_queries.grow(dim * kTileQueries);
    for (std::int64_t i = 0; i < kTileQueries; ++i) {
      for (std::int64_t j = 0; j < dim; ++j) {
        packed_queries[j * kTileQueries + i] = queries.view()(i, j);
      }
      limits[static_cast<std::size_t>(i)] = 0.1f * static_cast<float>(i) - 0.3f;
    }
    for (int i = 0; i < kTileVectors; ++i) bias[i] = 0.01f * static_cast<float>(i);
  }

  TileTask task() {
    return {packed.group(0), packed_queries.data(), dim,  bias.data(),
            limits.data(),   values.data(),         marks};
  }

  float expected(int query, int vector, bool l2) const {
    const float* q = queries.view().row(query);
    const float* v = vectors.view().row(vector);
    if (l2) return reference::distance(q, v, dim, Metric::l2);
    return bias[vector] + reference::distance(q, v, dim, Metric::inner_product);
  }
};

void expect_tile(TileData& data, const Tile tile, int groups, int queries, bool l2) {
  const bool any = tile(data.task());
  bool expected_any = false;
  for (int q = 0; q < queries; ++q) {
    std::uint64_t marks = 0;
    for (int v = 0; v < groups * kTileLanes; ++v) {
      const float expected = data.expected(q, v, l2);
      const float found = data.values[q * kTileVectors + v];
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(found));
      } else {
        ASSERT_EQ(found, expected) << "query " << q << " vector " << v << " dim " << data.dim;
      }
      const bool marked = !(expected > data.limits[static_cast<std::size_t>(q)]);
      marks |= std::uint64_t{marked} << v;
    }
    ASSERT_EQ(data.marks[q], marks);
    expected_any |= marks != 0;
  }
  ASSERT_EQ(any, expected_any);
}

TEST(Tile, EveryVariantEqualsTheDefinition) {
  for (const TileKernels* kernels : available_tile_kernels()) {
    SCOPED_TRACE(kernels->name);
    for (const std::int64_t dim : {1, 2, 17, 100}) {
      TileData data(dim);
      for (int groups = 1; groups <= kTileGroups; ++groups) {
        for (int log = 0; log < 4; ++log) {
          expect_tile(data, kernels->bias_minus_dot[groups - 1][log], groups, 1 << log, false);
          expect_tile(data, kernels->l2[groups - 1][log], groups, 1 << log, true);
        }
      }
    }
  }
}

TEST(Tile, PairsEqualTheDefinition) {
  for (const TileKernels* kernels : available_tile_kernels()) {
    SCOPED_TRACE(kernels->name);
    TileData data(77);
    const float* queries[kPairs];
    const float* vectors[kPairs];
    float distances[kPairs];
    for (int p = 0; p < kPairs; ++p) {
      queries[p] = data.packed_queries.data() + (p * 3) % kTileQueries;
      vectors[p] = data.packed.group(p % kTileGroups) + p;
    }
    kernels->l2_pairs(queries, vectors, data.dim, distances);
    for (int p = 0; p < kPairs; ++p) {
      const int vector = p % kTileGroups * kTileLanes + p;
      const float expected = data.expected((p * 3) % kTileQueries, vector, true);
      EXPECT_TRUE(distances[p] == expected || (std::isnan(expected) && std::isnan(distances[p])));
    }
  }
}

}  // namespace
}  // namespace tutti
