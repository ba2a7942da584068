#include "kernels/vector/code_tile.h"

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "kernels/core/arena.h"
#include "kernels/core/random.h"

namespace tutti {
namespace {

// Every set of kernels that this CPU can run is held to plain sums, at the largest codes too.
struct CodeTileData {
  std::int64_t steps;
  AlignedBuffer<std::uint8_t> vectors;
  std::vector<std::int8_t> queries;
  const std::int8_t* rows[kCodeTileQueries];
  AlignedBuffer<std::int32_t> bias{kCodeTileVectors};
  AlignedBuffer<std::int32_t> values{kCodeTileQueries * kCodeTileVectors};
  std::int32_t start[kCodeTileQueries];
  std::uint64_t marks[kCodeTileQueries] = {};

  CodeTileData(std::int64_t steps_, bool largest) : steps(steps_) {
    vectors.grow(steps * 4 * kCodeTileVectors);
    queries.resize(static_cast<std::size_t>(steps * 4 * kCodeTileQueries));
    for (std::int64_t i = 0; i < steps * 4 * kCodeTileVectors; ++i)
      vectors[i] = largest ? 255 : static_cast<std::uint8_t>(random_u64(1, 0, std::uint64_t(i)));
    for (std::size_t i = 0; i < queries.size(); ++i)
      queries[i] = largest ? -127 : static_cast<std::int8_t>(int(random_u64(2, 0, i) % 255) - 127);
    for (int q = 0; q < kCodeTileQueries; ++q) rows[q] = queries.data() + q * steps * 4;
    for (int i = 0; i < kCodeTileVectors; ++i) bias[i] = 1000 * i;
  }

  CodeTileTask task() {
    return {vectors.data(),   rows, steps, bias.data(), start, values.data(),
            kCodeTileVectors, marks};
  }

  std::int32_t expected(int query, int vector) const {
    std::int32_t sum = start[query] - bias[vector];
    for (std::int64_t j = 0; j < steps * 4; ++j) {
      const std::int64_t group = vector / kCodeLanes * steps * kCodeLanes * 4;
      const int v = vectors[group + (j / 4 * kCodeLanes + vector % kCodeLanes) * 4 + j % 4];
      sum += v * rows[query][j];
    }
    return sum;
  }
};

TEST(CodeTile, EveryUnitGivesTheSameIntegers) {
  for (const CodeKernels* kernels : available_code_kernels())
    for (const std::int64_t steps : {1, 3, 8, 33})
      for (const bool largest : {false, true})
        for (int groups = 1; groups <= kCodeTileGroups; ++groups) {
          CodeTileData data(steps, largest);
          for (int q = 0; q < kCodeTileQueries; ++q) data.start[q] = 1 << 28;
          ASSERT_EQ(kernels->tile[groups - 1](data.task()), 0xffu) << kernels->name;
          // Two values on either side of zero, of two queries.
          for (int q = 0; q < kCodeTileQueries; ++q) data.start[q] = -(1 << 29);
          for (const int q : {2, 7}) {
            data.start[q] = 0;
            data.start[q] = -data.expected(q, groups * kCodeLanes - 3);
          }
          ASSERT_EQ(kernels->tile[groups - 1](data.task()), 1u << 2 | 1u << 7) << kernels->name;
          for (int q = 0; q < kCodeTileQueries; ++q)
            for (int v = 0; v < groups * kCodeLanes; ++v) {
              const std::int32_t expected = data.expected(q, v);
              ASSERT_EQ(data.values[q * kCodeTileVectors + v], expected)
                  << kernels->name << " steps " << steps << " groups " << groups;
              ASSERT_EQ(data.marks[q] >> v & 1, expected >= 0) << kernels->name;
            }
        }
}

TEST(CodeTile, NothingIsFoundWhereAllAreNegative) {
  for (const CodeKernels* kernels : available_code_kernels()) {
    CodeTileData data(5, false);
    for (int q = 0; q < kCodeTileQueries; ++q) data.start[q] = -(1 << 29);
    for (const CodeTile tile : kernels->tile) EXPECT_EQ(tile(data.task()), 0u) << kernels->name;
  }
}

TEST(CodeTile, ProductsOfPairs) {
  for (const std::int64_t bytes : {64, 128, 320}) {
    std::vector<std::uint8_t> vectors(static_cast<std::size_t>(bytes * 9));
    std::vector<std::int8_t> query(static_cast<std::size_t>(3 * bytes));
    const std::int8_t* const queries[] = {query.data(), query.data() + bytes,
                                          query.data() + 2 * bytes};
    for (std::size_t i = 0; i < vectors.size(); ++i)
      vectors[i] = i < 100 ? 255 : static_cast<std::uint8_t>(random_u64(3, 0, i));
    for (std::size_t i = 0; i < query.size(); ++i)
      query[i] = i < 50 ? -127 : static_cast<std::int8_t>(int(random_u64(4, 0, i) % 255) - 127);
    for (const std::vector<std::int32_t>& places :
         {std::vector<std::int32_t>{}, {0, 4, 1, 8}, {7}, {2, 2, 3, 5, 6, 0, 8}})
      for (const CodeKernels* kernels : available_code_kernels()) {
        std::vector<std::int32_t> products(places.size());
        const std::vector<std::uint8_t> numbers{2, 0, 0, 1, 2, 1, 1};
        kernels->products(vectors.data(), queries, bytes, {places, numbers.data()},
                          products.data());
        for (std::size_t i = 0; i < places.size(); ++i) {
          std::int32_t expected = 0;
          for (std::int64_t j = 0; j < bytes; ++j)
            expected += vectors[std::size_t(places[i] * bytes + j)] * queries[numbers[i]][j];
          EXPECT_EQ(products[i], expected) << kernels->name << " " << bytes;
        }
      }
  }
}

TEST(CodeTile, TheLargestOfAnyRank) {
  for (const std::size_t count : {1, 15, 16, 47, 100})
    for (const std::uint64_t range : {3ull, 1000ull, 1ull << 32}) {
      std::vector<std::int32_t> values;
      for (std::size_t i = 0; i < count; ++i)
        values.push_back(std::int32_t(std::int64_t(random_u64(6, range, i) % range) - (1ll << 31)));
      std::vector<std::int32_t> sorted = values;
      std::ranges::sort(sorted, std::greater<>());
      for (const CodeKernels* kernels : available_code_kernels())
        for (std::size_t rank = 1; rank <= count; rank += 7)
          EXPECT_EQ(kernels->largest(values, rank), sorted[rank - 1]) << kernels->name;
    }
}

TEST(CodeTile, CollectsWhatIsNotBelow) {
  for (const std::size_t count : {0, 5, 16, 47, 100}) {
    std::vector<std::int32_t> values, expected;
    for (std::size_t i = 0; i < count; ++i) {
      values.push_back(std::int32_t(random_u64(5, 0, i) % 7) - 3);
      if (values.back() >= 1) expected.push_back(std::int32_t(i));
    }
    for (const CodeKernels* kernels : available_code_kernels()) {
      std::vector<std::int32_t> places(count + 16);
      places.resize(kernels->collect(values, 1, places.data()));
      EXPECT_EQ(places, expected) << kernels->name << " " << count;
    }
  }
}

}  // namespace
}  // namespace tutti
