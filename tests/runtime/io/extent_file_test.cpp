#include "runtime/io/extent_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <span>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_import.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::ScratchFolder;

std::vector<std::byte> pattern(std::int64_t bytes, std::uint32_t seed) {
  std::vector<std::byte> data(static_cast<std::size_t>(bytes));
  for (auto& byte : data) byte = std::byte((seed = seed * 1664525u + 1013904223u) >> 24);
  return data;
}

// Large, small, not a whole number of pages or blocks, and empty.
const std::vector<ColumnSpec> kColumns = {
    {"/t/large", DType::f32, {1500001}, {{"unit", std::string("m")}}},
    {"/t/small", DType::i64, {3}, {}},
    {"/t/deep/er", DType::bf16, {257, 33}, {}},
    {"/t/none", DType::i32, {0, 7}, {}},
    {"/block", DType::u8, {kBlockBytes}, {}},
    {"/half", DType::f16, {5000}, {}},
    {"/signed", DType::i8, {9999}, {}},
};
const Attributes kAttributes = {{"distance", std::string("angular")},
                                {"dimension", std::int64_t(100)},
                                {"scale", 0.5},
                                {"empty", std::string()}};

std::int64_t bytes_of(const ColumnSpec& column) {
  return std::accumulate(column.shape.begin(), column.shape.end(),
                         std::int64_t(size_of(column.dtype)), std::multiplies<>());
}

FileRecord write_example(const std::filesystem::path& path) {
  ExtentWriter writer(path, kColumns, kAttributes);
  for (std::size_t i = 0; i < kColumns.size(); ++i)
    writer.write_all(i, pattern(bytes_of(kColumns[i]), std::uint32_t(i)));
  return writer.finish();
}

TEST(ExtentFile, reads_back_what_was_written) {
  const ScratchFolder scratch("extent");
  const FileRecord record = write_example(scratch.path() / "a.h5");
  EXPECT_EQ(record.name, "a.h5");
  EXPECT_EQ(record.bytes, std::int64_t(std::filesystem::file_size(scratch.path() / "a.h5")));
  const ExtentReader reader(scratch.path() / "a.h5",
                            file_record_from_json(to_json(record), "here"));
  reader.verify_all();
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    std::vector<std::byte> data(std::size_t(bytes_of(kColumns[i])));
    reader.read(i, 0, record.extents[i].elements(), data);
    EXPECT_EQ(data, pattern(bytes_of(kColumns[i]), std::uint32_t(i))) << i;
  }
}

TEST(ExtentFile, large_columns_are_aligned) {
  const ScratchFolder scratch("extent");
  for (const auto& extent : write_example(scratch.path() / "a.h5").extents)
    EXPECT_TRUE(extent.bytes < 4096 || extent.offset % 4096 == 0) << extent.dataset;
}

TEST(ExtentFile, appending_gives_the_same_bytes_as_writing_at_once) {
  const ScratchFolder scratch("extent");
  const FileRecord at_once = write_example(scratch.path() / "a.h5");
  std::filesystem::create_directory(scratch.path() / "other");
  const auto path = scratch.path() / "other" / "a.h5";
  // HDF5 keeps times in seconds; a file that holds one would differ now.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  ExtentWriter writer(path, kColumns, kAttributes);
  std::vector<std::span<const std::byte>> rest;
  std::vector<std::vector<std::byte>> data;
  for (std::size_t i = 0; i < kColumns.size(); ++i)
    data.push_back(pattern(bytes_of(kColumns[i]), std::uint32_t(i)));
  for (const auto& column : data) rest.push_back(column);
  for (std::size_t size = 1;
       !std::all_of(rest.begin(), rest.end(), [](auto r) { return r.empty(); });
       size = size * 3 + 1) {
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const auto piece = rest[i].first(std::min(size, rest[i].size()));
      writer.append(i, piece);
      rest[i] = rest[i].subspan(piece.size());
    }
  }
  EXPECT_EQ(writer.finish(), at_once);
  EXPECT_EQ(read_text(path), read_text(scratch.path() / "a.h5"));
}

TEST(ExtentFile, reads_any_range_in_any_order) {
  const ScratchFolder scratch("extent");
  const FileRecord record = write_example(scratch.path() / "a.h5");
  const auto whole = pattern(bytes_of(kColumns[0]), 0);
  const ExtentReader reader(scratch.path() / "a.h5", record);
  const std::int64_t block = kBlockBytes / 4, end = record.extents[0].elements();
  const std::pair<std::int64_t, std::int64_t> ranges[] = {
      {block - 1, 2}, {0, 0},         {end, 0}, {end - 1, 1},
      {0, 1},         {5, block * 1}, {0, end}, {block, end - block}};
  for (const auto& [begin, count] : ranges) {
    std::vector<float> data(static_cast<std::size_t>(count));
    reader.read(0, begin, std::span(data));
    EXPECT_TRUE(std::ranges::equal(
        std::as_bytes(std::span(data)),
        std::span(whole).subspan(std::size_t(begin) * 4, std::size_t(count) * 4)))
        << begin;
  }
  std::vector<std::byte> data(8);
  EXPECT_THROW(reader.read(0, end - 1, 2, data), Bug);
  EXPECT_THROW(reader.read(0, 0, 1, data), Bug);
}

TEST(ExtentFile, many_threads_may_read_one_file) {
  const ScratchFolder scratch("extent");
  const ExtentReader reader(scratch.path() / "a.h5", write_example(scratch.path() / "a.h5"));
  const auto whole = pattern(bytes_of(kColumns[0]), 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::int64_t i = t; i < 1500001; i += 9973) {
        float value;
        reader.read(0, i, std::span(&value, 1));
        EXPECT_EQ(std::memcmp(&value, whole.data() + i * 4, 4), 0);
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST(ExtentFile, hdf5_itself_reads_the_columns) {
  const ScratchFolder scratch("extent");
  const auto path = scratch.path() / "a.h5";
  ExtentWriter writer(path,
                      {{"/f", DType::f32, {2, 2}, {}},
                       {"/b", DType::bf16, {3}, {}},
                       {"/i", DType::i32, {2}, {}},
                       {"/h", DType::f16, {2}, {}}},
                      kAttributes);
  const float f[] = {1, 2, 3.5, -4};
  const bf16 b[] = {bf16(0.5f), bf16(-3.0f), bf16(1e30f)};
  const std::int32_t i[] = {7, -8};
  const std::uint16_t h[] = {f16_from_float(0.25f), f16_from_float(-100.0f)};
  writer.write_all(0, std::as_bytes(std::span(f)));
  writer.write_all(1, std::as_bytes(std::span(b)));
  writer.write_all(2, std::as_bytes(std::span(i)));
  writer.write_all(3, std::as_bytes(std::span(h)));
  writer.finish();

  const Hdf5Import file(path);
  std::vector<float> back(4);
  file.read_rows(*file.find("f"), 0, 2, std::span(back));
  EXPECT_EQ(back, std::vector<float>({1, 2, 3.5, -4}));
  back.resize(3);
  file.read_rows(*file.find("/b"), 0, 3, std::span(back));
  EXPECT_EQ(back, std::vector<float>({0.5f, -3.0f, float(bf16(1e30f))}));
  back.resize(2);
  file.read_rows(*file.find("/h"), 0, 2, std::span(back));
  EXPECT_EQ(back, std::vector<float>({0.25f, -100.0f}));
  std::vector<std::int64_t> integers(2);
  file.read_rows(*file.find("/i"), 0, 2, std::span(integers));
  EXPECT_EQ(integers, std::vector<std::int64_t>({7, -8}));
  EXPECT_EQ(file.attribute("distance"), "angular");
  EXPECT_EQ(file.attribute("dimension"), "100");
  EXPECT_EQ(file.attribute("empty"), "");
}

TEST(ExtentFile, h5dump_reads_the_file) {
  if (std::system("h5dump --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no h5dump here";
  const ScratchFolder scratch("extent");
  write_example(scratch.path() / "a.h5");
  const std::string file = (scratch.path() / "a.h5").string();
  EXPECT_EQ(std::system(("h5dump -H " + file + " > " + file + ".txt 2>&1").c_str()), 0);
  const std::string output = read_text(file + ".txt");
  EXPECT_NE(output.find("GROUP \"deep\""), std::string::npos) << output;
  EXPECT_NE(output.find("( 1500001 )"), std::string::npos) << output;
}

TEST(ExtentFile, virtual_columns_join_their_sources) {
  const ScratchFolder scratch("extent");
  const auto write_part = [&](const std::string& name, std::vector<std::int32_t> values) {
    ExtentWriter writer(scratch.path() / name,
                        {{"/t/x", DType::i32, {std::int64_t(values.size()) / 2, 2}, {}}});
    writer.write_all(0, std::as_bytes(std::span(values)));
    writer.finish();
  };
  write_part("a.h5", {1, 2, 3, 4});
  write_part("b.h5", {});
  write_part("c.h5", {5, 6});
  ExtentWriter writer(scratch.path() / "whole.h5", {{"/t/own", DType::i64, {1}, {}}}, {},
                      {{"/t/x",
                        DType::i32,
                        2,
                        {{"a.h5", "/t/x", 2, 2}, {"b.h5", "/t/x", 0, 0}, {"c.h5", "/t/x", 1, 1}}},
                       {"/t/empty", DType::u8, 0, {}}});
  const std::int64_t own = 42;
  writer.append(0, std::as_bytes(std::span(&own, 1)));
  writer.finish();

  const Hdf5Import whole(scratch.path() / "whole.h5");
  std::vector<std::int32_t> values(6);
  ASSERT_NE(whole.find("/t/x"), nullptr);
  whole.read_rows(*whole.find("/t/x"), 0, 3, std::span(values));
  EXPECT_EQ(values, std::vector<std::int32_t>({1, 2, 3, 4, 5, 6}));
  std::vector<std::int64_t> single(1);
  whole.read_rows(*whole.find("/t/own"), 0, 1, std::span(single));
  EXPECT_EQ(single[0], 42);
  EXPECT_EQ(whole.find("/t/empty")->shape, std::vector<std::int64_t>{0});
}

TEST(ExtentFile, an_unfinished_file_is_removed) {
  const ScratchFolder scratch("extent");
  const auto path = scratch.path() / "a.h5";
  {
    ExtentWriter writer(path, kColumns);
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ExtentFile, columns_must_be_filled_exactly) {
  const ScratchFolder scratch("extent");
  ExtentWriter writer(scratch.path() / "a.h5", {{"/x", DType::u8, {3}, {}}});
  const auto data = pattern(4, 0);
  EXPECT_THROW(writer.finish(), Bug);
  EXPECT_THROW(writer.append(0, data), Bug);
  EXPECT_THROW(writer.write_all(0, data), Bug);
  writer.append(0, std::span(data).first(3));
  EXPECT_EQ(writer.finish().extents[0].bytes, 3);
}

}  // namespace
}  // namespace tutti
