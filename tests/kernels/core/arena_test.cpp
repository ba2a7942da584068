#include "kernels/core/arena.h"

#include <cstdint>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(AlignedBuffer, IsAlignedAndZeroed) {
  AlignedBuffer<float> buffer(1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
  for (const float value : buffer) EXPECT_EQ(value, 0.0f);
}

TEST(AlignedBuffer, GrowsOnlyWhenNeeded) {
  AlignedBuffer<int> buffer(8);
  buffer[3] = 7;
  buffer.grow(4);
  EXPECT_EQ(buffer.size(), 8);
  EXPECT_EQ(buffer[3], 7);
  buffer.grow(9);
  EXPECT_EQ(buffer.size(), 9);
  EXPECT_EQ(buffer[3], 0);
}

TEST(AlignedBuffer, Moves) {
  AlignedBuffer<int> from(4);
  from[0] = 5;
  const AlignedBuffer<int> to = std::move(from);
  EXPECT_EQ(to[0], 5);
}

TEST(AlignedBuffer, DiscardsNothingElse) {
  constexpr std::int64_t kSize = (std::int64_t{5} << 20) / 4 + 123;
  for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{1000, 700000},
                                   {4096, 8192},
                                   {5, 6},
                                   {kSize - 90000, kSize},
                                   {0, kSize}}) {
    AlignedBuffer<int> buffer(kSize);
    for (std::int64_t i = 0; i < kSize; ++i) buffer[i] = int(i) + 1;
    buffer.discard(begin, end);
    for (std::int64_t i = 0; i < kSize; ++i) {
      const bool kept = i < begin || i >= end;
      ASSERT_TRUE(!kept || buffer[i] == int(i) + 1) << i;
    }
    for (std::int64_t i = begin; i < end; ++i) buffer[i] = 7;
    EXPECT_EQ(buffer[begin], 7);
  }
}

TEST(ArenaLayout, AlignsParametersAndPadsTheArena) {
  ArenaLayout layout;
  EXPECT_EQ(layout.padded_size(), 0);
  EXPECT_EQ(layout.add("a", {3, 5}, true), 0);
  EXPECT_EQ(layout.add("b", {64}, false), 1);
  EXPECT_EQ(layout.add("c", {1}, false), 2);
  EXPECT_EQ(layout.find("b").offset, 64);
  EXPECT_EQ(layout.find("c").offset, 128);
  EXPECT_EQ(layout.used_size(), 129);
  EXPECT_EQ(layout.padded_size(), kArenaBlock);
  EXPECT_EQ(layout.block_count(), 1);
  EXPECT_TRUE(layout.find("a").decay);
  layout.add("d", {kArenaBlock}, true);
  EXPECT_EQ(layout.block_count(), 2);
}

TEST(ArenaLayout, RejectsMisuse) {
  ArenaLayout layout;
  layout.add("a", {3}, true);
  EXPECT_THROW(layout.add("a", {3}, true), std::invalid_argument);
  EXPECT_THROW(layout.add("b", {}, true), std::invalid_argument);
  EXPECT_THROW(layout.add("b", {2, 0}, true), std::invalid_argument);
  EXPECT_THROW(layout.find("b"), std::invalid_argument);
}

TEST(ArenaLayout, ViewsStayInside) {
  ArenaLayout layout;
  layout.add("a", {3}, true);
  layout.add("b", {2}, true);
  std::vector<float> arena(66);
  EXPECT_EQ(view_of(layout.find("b"), std::span<float>(arena)).data(), arena.data() + 64);
  EXPECT_EQ(view_of(layout.find("b"), std::span<float>(arena)).size(), 2u);
  arena.resize(65);
  EXPECT_THROW(view_of(layout.find("b"), std::span<float>(arena)), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
