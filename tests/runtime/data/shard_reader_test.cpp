#include "runtime/data/shard_reader.h"

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/data/shard_writer.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;

const std::vector<TableSchema> kTables = {
    {"t", {ColumnSchema::vector("v", DType::f32, 2), ColumnSchema::ragged("r", DType::u8)}}};

Manifest write_example(const std::filesystem::path& folder) {
  ShardWriter writer(folder, 0, kTables, 0);
  const std::vector<float> v = {1, 2, 3, 4};
  writer.append(0, std::span(v));
  writer.append_ragged(1, std::span("abc", 3));
  writer.append_ragged(1, std::span("", 0));
  const ShardRecord shard = writer.finish();
  Manifest manifest;
  manifest.tables = {{kTables[0], shard.rows}};
  manifest.files = {shard.file};
  return manifest;
}

void expect_bad_data(const std::filesystem::path& folder, const Manifest& manifest,
                     const std::string& what) {
  try {
    const ShardReader reader(folder, manifest, 0);
    ADD_FAILURE() << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data) << what;
  }
}

TEST(ShardReader, the_tables_must_be_what_the_file_has) {
  const ScratchFolder scratch("reader");
  const Manifest good = write_example(scratch.path());
  const ShardReader reader(scratch.path(), good, 0);
  EXPECT_EQ(reader.rows(0), 2);

  Manifest bad = good;
  bad.tables[0].schema.columns[0].name = "w";
  expect_bad_data(scratch.path(), bad, "no such dataset");
  bad = good;
  bad.tables[0].schema.columns[0].dtype = DType::i32;
  expect_bad_data(scratch.path(), bad, "another type");
  bad = good;
  bad.tables[0].schema.columns[0].width = 3;
  expect_bad_data(scratch.path(), bad, "another width");
  bad = good;
  bad.tables[0].shard_rows[0] = 3;
  expect_bad_data(scratch.path(), bad, "more rows");
}

TEST(ShardReader, offsets_that_lead_astray_are_bad_data) {
  const ScratchFolder scratch("reader");
  for (const auto& offsets :
       std::vector<std::vector<std::int64_t>>{{0, 2, 1}, {-1, 0, 0}, {0, 1, 4}}) {
    ExtentWriter writer(scratch.path() / "shard-00000.h5", {{"/t/r/values", DType::u8, {3}, {}},
                                                            {"/t/r/offsets", DType::i64, {3}, {}}});
    const std::byte values[3] = {};
    writer.append(0, values);
    writer.append(1, std::as_bytes(std::span(offsets)));
    Manifest manifest;
    manifest.tables = {{{"t", {ColumnSchema::ragged("r", DType::u8)}}, {2}}};
    manifest.files = {writer.finish()};
    const ShardReader reader(scratch.path(), manifest, 0);
    std::vector<std::int64_t> back(3);
    EXPECT_THROW(reader.read_offsets(0, 0, 0, back), Error);
  }
}

TEST(ShardReader, misuse_is_a_bug) {
  const ScratchFolder scratch("reader");
  const Manifest manifest = write_example(scratch.path());
  const ShardReader reader(scratch.path(), manifest, 0);
  std::vector<std::byte> data(16);
  std::vector<std::int64_t> offsets(4);
  EXPECT_THROW(reader.read_rows(0, 0, 1, 2, data), Bug);
  EXPECT_THROW(reader.read_rows(0, 0, 0, 1, data), Bug);
  EXPECT_THROW(reader.read_rows(0, 1, 0, 2, data), Bug);
  EXPECT_THROW(reader.read_offsets(0, 1, 0, offsets), Bug);
  EXPECT_THROW(reader.read_offsets(0, 0, 0, offsets), Bug);
}

}  // namespace
}  // namespace tutti
