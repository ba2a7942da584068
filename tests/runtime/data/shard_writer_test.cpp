#include "runtime/data/shard_writer.h"

#include <numeric>

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"
#include "runtime/data/shard_reader.h"
#include "tests/support/fault_io.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;

const std::vector<TableSchema> kTables = {
    {"passages",
     {ColumnSchema::scalar("page", DType::i32), ColumnSchema::ragged("tokens", DType::i32)}},
    {"pages",
     {ColumnSchema::ragged("title", DType::u8), ColumnSchema::vector("place", DType::f32, 3)}}};

std::vector<std::int32_t> tokens_of(int row) {
  std::vector<std::int32_t> tokens(std::size_t(row * 7 % 13));
  std::iota(tokens.begin(), tokens.end(), row);
  return tokens;
}

// 500 passages and 20 pages.
void fill(ShardWriter& writer) {
  const std::size_t page = writer.column("passages", "page"),
                    tokens = writer.column("passages", "tokens");
  const std::size_t title = writer.column("pages", "title"),
                    place = writer.column("pages", "place");
  for (std::int32_t row = 0; row < 500; ++row) {
    const std::int32_t number = row / 25;
    writer.append(page, std::span(&number, 1));
    const auto values = tokens_of(row);
    writer.append_ragged(tokens, std::span(values));
  }
  for (int row = 0; row < 20; ++row) {
    const std::string text = "page " + std::to_string(row);
    writer.append_ragged(title, std::span(std::as_const(text)));
  }
  std::vector<float> places(60);
  std::iota(places.begin(), places.end(), 0.0f);
  writer.append(place, std::span(std::as_const(places)));
}

ShardRecord write_example(const std::filesystem::path& folder, std::int64_t memory_bytes) {
  ShardWriter writer(folder, 3, kTables, memory_bytes);
  fill(writer);
  return writer.finish();
}

// A manifest in which the shard stands as the only one.
Manifest manifest_of(const ShardRecord& shard, const std::vector<TableSchema>& tables) {
  Manifest manifest;
  for (std::size_t t = 0; t < tables.size(); ++t)
    manifest.tables.push_back({tables[t], {shard.rows[t]}});
  manifest.files = {shard.file};
  return manifest;
}

TEST(ShardWriter, what_it_wrote_is_read_back) {
  const ScratchFolder scratch("shard");
  ShardWriter writer(scratch.path(), 0, kTables, 1 << 20);
  fill(writer);
  const ShardRecord shard = writer.finish();
  EXPECT_EQ(shard.rows, std::vector<std::int64_t>({500, 20}));
  EXPECT_EQ(shard.file.name, shard_file(0));

  const Manifest manifest = manifest_of(shard, kTables);
  const ShardReader reader(scratch.path(), manifest, 0);
  std::vector<std::int32_t> pages(100);
  reader.read_rows(0, 0, 50, 100, std::as_writable_bytes(std::span(pages)));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pages[std::size_t(i)], (50 + i) / 25);
  std::vector<std::int64_t> offsets(501);
  reader.read_offsets(0, 1, 0, offsets);
  EXPECT_EQ(offsets[0], 0);
  for (int row = 0; row < 500; ++row) {
    const std::int64_t begin = offsets[std::size_t(row)],
                       count = offsets[std::size_t(row) + 1] - begin;
    std::vector<std::int32_t> values(static_cast<std::size_t>(count));
    reader.read_values(0, 1, begin, count, std::as_writable_bytes(std::span(values)));
    EXPECT_EQ(values, tokens_of(row));
  }
  std::vector<float> places(6);
  reader.read_rows(1, 1, 18, 2, std::as_writable_bytes(std::span(places)));
  EXPECT_EQ(places, std::vector<float>({54, 55, 56, 57, 58, 59}));
}

TEST(ShardWriter, the_memory_it_gets_does_not_show) {
  const ScratchFolder scratch("shard");
  const ShardRecord large = write_example(scratch.path(), 1 << 30);
  const std::string bytes = testing::read_text(scratch.path() / shard_file(3));
  const ShardRecord small = write_example(scratch.path(), 0);
  EXPECT_EQ(small.file, large.file);
  EXPECT_EQ(testing::read_text(scratch.path() / shard_file(3)), bytes);
}

TEST(ShardWriter, spools_what_memory_does_not_hold) {
  const ScratchFolder scratch("shard");
  const std::vector<TableSchema> tables = {
      {"t", {ColumnSchema::scalar("x", DType::i64), ColumnSchema::ragged("y", DType::u8)}}};
  ShardWriter writer(scratch.path(), 0, tables, 0);
  std::vector<std::int64_t> values(300000);
  std::iota(values.begin(), values.end(), 0);
  writer.append(0, std::span(std::as_const(values)));
  EXPECT_TRUE(std::filesystem::exists(scratch.path() / spool_file(0, 0)));
  for (std::size_t i = 0; i < values.size(); ++i) writer.append_ragged(1, std::span("ab", i % 3));
  const ShardRecord shard = writer.finish();
  EXPECT_FALSE(std::filesystem::exists(scratch.path() / spool_file(0, 0)));
  const Manifest manifest = manifest_of(shard, tables);
  const ShardReader reader(scratch.path(), manifest, 0);
  std::vector<std::int64_t> back(values.size());
  reader.read_rows(0, 0, 0, 300000, std::as_writable_bytes(std::span(back)));
  EXPECT_EQ(back, values);
  std::vector<std::int64_t> offsets(values.size() + 1);
  reader.read_offsets(0, 1, 0, offsets);
  EXPECT_EQ(offsets.back(), 300000);
}

TEST(ShardWriter, known_rows_give_the_same_file_as_unknown_ones) {
  const ScratchFolder scratch("shard");
  const std::vector<TableSchema> tables = {{"t", {ColumnSchema::vector("v", DType::bf16, 5)}},
                                           {"u", {ColumnSchema::scalar("id", DType::i64)}}};
  const std::vector<std::uint16_t> vectors(500, 0x3f80);
  const std::vector<std::int64_t> ids = {5, 6, 7};
  const auto write = [&](ShardWriter writer) {
    writer.append(1, std::span(ids));
    writer.append(0, std::span(vectors).first(5));
    writer.append(0, std::span(vectors).subspan(5));
    EXPECT_EQ(writer.rows(0), 100);
    return writer.finish();
  };
  const ShardRecord spooled = write(ShardWriter(scratch.path(), 0, tables, 1 << 20));
  const ShardRecord direct =
      write(ShardWriter(scratch.path(), 0, tables, std::vector<std::int64_t>{100, 3}));
  EXPECT_EQ(spooled.file, direct.file);
  EXPECT_EQ(spooled.rows, direct.rows);
}

TEST(ShardWriter, an_empty_shard_is_a_shard) {
  const ScratchFolder scratch("shard");
  ShardWriter writer(scratch.path(), 0, kTables, 0);
  const ShardRecord shard = writer.finish();
  EXPECT_EQ(shard.rows, std::vector<std::int64_t>({0, 0}));
  const Manifest manifest = manifest_of(shard, kTables);
  const ShardReader reader(scratch.path(), manifest, 0);
  std::vector<std::int64_t> offsets(1, 9);
  reader.read_offsets(0, 1, 0, offsets);
  EXPECT_EQ(offsets[0], 0);
}

TEST(ShardWriter, misuse_is_a_bug) {
  const ScratchFolder scratch("shard");
  ShardWriter writer(scratch.path(), 0, kTables, 0);
  const std::vector<std::int32_t> one = {1};
  const std::vector<double> wide = {1};
  const std::vector<float> two = {1, 2};
  EXPECT_THROW(writer.column("passages", "none"), Bug);
  EXPECT_THROW(writer.append(writer.column("passages", "page"), std::span(wide)), Bug);
  EXPECT_THROW(writer.append(writer.column("passages", "tokens"), std::span(one)), Bug);
  EXPECT_THROW(writer.append_ragged(writer.column("passages", "page"), std::span(one)), Bug);
  EXPECT_THROW(writer.append(writer.column("pages", "place"), std::span(two)), Bug);
  writer.append(writer.column("passages", "page"), std::span(one));
  EXPECT_THROW(writer.finish(), Bug);  // a page, and no tokens for it
  EXPECT_THROW(ShardWriter(scratch.path(), 0, kTables, std::vector<std::int64_t>{1, 1}), Bug);
}

TEST(ShardWriter, whatever_call_fails_nothing_is_left) {
  const ScratchFolder scratch("shard");
  for (int n = 1;; ++n) {
    tutti_fault_set(("any:" + std::to_string(n) + ":ENOSPC").c_str());
    int code = 0;
    try {
      write_example(scratch.path(), 0);
    } catch (const Error& error) {
      code = int(error.code());
    }
    const bool fired = tutti_fault_fired();
    tutti_fault_set(nullptr);
    if (!fired) break;
    EXPECT_EQ(code, int(ExitCode::io)) << n;
    EXPECT_TRUE(std::filesystem::is_empty(scratch.path())) << n;
    ASSERT_LT(n, 1000);
  }
}

}  // namespace
}  // namespace tutti
