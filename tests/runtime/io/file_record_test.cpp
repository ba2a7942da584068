#include "runtime/io/file_record.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/io/crc32c.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;

FileRecord example() {
  FileRecord record{"shard-00000.h5", 5000000, 0x12345678, {}};
  record.extents.push_back({"/t/a", DType::f32, {1100000}, 4096, 4400000, {1, 2}});
  record.extents.push_back({"/t/b", DType::i64, {3, 5}, 2048, 120, {3}});
  record.extents.push_back({"/t/c", DType::u8, {0}, 0, 0, {}});
  return record;
}

TEST(FileRecord, survives_json) {
  EXPECT_EQ(file_record_from_json(to_json(example()), "here"), example());
  EXPECT_EQ(example().find("/t/b"), 1);
  EXPECT_EQ(example().find("/t"), -1);
}

TEST(FileRecord, header_spans_are_what_no_extent_covers) {
  const auto spans = header_spans(example());
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0].offset, 0);
  EXPECT_EQ(spans[0].bytes, 2048);
  EXPECT_EQ(spans[1].offset, 2168);
  EXPECT_EQ(spans[1].bytes, 4096 - 2168);
  EXPECT_EQ(spans[2].offset, 4404096);
  EXPECT_EQ(spans[2].bytes, 5000000 - 4404096);
}

TEST(FileRecord, inconsistent_records_are_bad_data) {
  const json good = to_json(example());
  const std::vector<std::pair<std::string, json>> changes = {
      {"/name", "../shard"},
      {"/name", ".."},
      {"/name", ""},
      {"/bytes", -1},
      {"/bytes", 4404095},
      {"/bytes", "many"},
      {"/bytes", 4404096.5},
      {"/bytes", 1e300},
      {"/extents/0/shape", {1e300}},
      {"/header_crc32c", "1234567"},
      {"/extents", 7},
      {"/extents/0/dtype", "f64"},
      {"/extents/0/shape", {1100001}},
      {"/extents/0/shape", {-1100000}},
      {"/extents/0/shape", json::array()},
      {"/extents/0/shape", {std::int64_t(1) << 62, std::int64_t(1) << 62}},
      {"/extents/0/bytes", 4400004},
      {"/extents/0/offset", -4096},
      {"/extents/0/offset", std::int64_t(1) << 62},
      {"/extents/0/offset", 2048 + 119},
      {"/extents/0/crc32c", {"00000001"}},
      {"/extents/0/crc32c", {"00000001", "0000000X"}},
  };
  for (const auto& [pointer, value] : changes) {
    json bad = good;
    bad[json::json_pointer(pointer)] = value;
    try {
      file_record_from_json(bad, "here");
      ADD_FAILURE() << pointer << " = " << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find("here"), std::string::npos);
    }
  }
  json neither = good;  // a size that is none does not match a shape that is none
  neither["extents"][0].update({{"shape", {-1}}, {"bytes", -1}, {"crc32c", {"00000001"}}});
  EXPECT_THROW(file_record_from_json(neither, "here"), Error);
  for (const char* key : {"name", "bytes", "header_crc32c", "extents"}) {
    json bad = good;
    bad.erase(key);
    EXPECT_THROW(file_record_from_json(bad, "here"), Error) << key;
  }
}

TEST(FileRecord, describes_plain_files) {
  const testing::ScratchFolder scratch("record");
  const std::string text(std::size_t(kBlockBytes) + 17, 'q');
  testing::write_text(scratch.path() / "plain", text);
  testing::write_text(scratch.path() / "empty", "");
  EXPECT_EQ(record_plain_file(scratch.path() / "plain"),
            (FileRecord{"plain", kBlockBytes + 17, crc32c(text), {}}));
  EXPECT_EQ(record_plain_file(scratch.path() / "empty"), (FileRecord{"empty", 0, 0, {}}));
}

}  // namespace
}  // namespace tutti
