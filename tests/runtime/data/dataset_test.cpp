#include "runtime/data/dataset.h"

#include <thread>

#include <gtest/gtest.h>

#include "runtime/data/paths.h"
#include "runtime/io/file.h"
#include "tests/runtime/data/example_dataset.h"

namespace tutti {
namespace {

using testing::example_page;
using testing::example_tokens;
using testing::kExampleRows;
using testing::SharedFolder;
using testing::world;

TEST(Dataset, rows_are_numbered_over_all_shards) {
  const SharedFolder folder("dataset");
  testing::write_example_dataset(world(), folder.path());
  const Dataset dataset = Dataset::open(folder.path(), kDatasetKind);
  EXPECT_EQ(dataset.rows("passages"), kExampleRows);
  EXPECT_EQ(dataset.shard_rows("passages", 0), (Range{0, 0}));
  EXPECT_EQ(dataset.shard_rows("passages", 3), (Range{21, 42}));
  const auto page = dataset.column("passages", "page"), pair = dataset.column("passages", "pair");
  EXPECT_EQ(pair.width, 2);
  for (std::int64_t begin = 0; begin <= kExampleRows; ++begin) {
    for (std::int64_t count = 0; begin + count <= kExampleRows; count = count * 2 + 1) {
      std::vector<std::int64_t> pages(static_cast<std::size_t>(count));
      std::vector<float> pairs(std::size_t(count) * 2);
      dataset.read(page, begin, count, std::span(pages));
      dataset.read(pair, begin, count, std::span(pairs));
      for (std::int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(pages[std::size_t(i)], example_page(begin + i));
        ASSERT_EQ(pairs[std::size_t(2 * i) + 1], float(-(begin + i)));
      }
    }
  }
}

TEST(Dataset, ragged_rows_are_read_by_ranges) {
  const SharedFolder folder("dataset");
  testing::write_example_dataset(world(), folder.path());
  const Dataset dataset = Dataset::open(folder.path());
  const auto column = dataset.column("passages", "tokens");
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> values;
  for (std::int64_t begin = 0; begin <= kExampleRows; ++begin) {
    for (std::int64_t count = 0; begin + count <= kExampleRows; count = count * 2 + 1) {
      dataset.read_ragged(column, begin, count, offsets, values);
      ASSERT_EQ(std::int64_t(offsets.size()), count + 1);
      ASSERT_EQ(offsets.front(), 0);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::vector<std::int32_t> row(values.begin() + offsets[std::size_t(i)],
                                            values.begin() + offsets[std::size_t(i) + 1]);
        ASSERT_EQ(row, example_tokens(begin + i));
      }
    }
  }
}

TEST(Dataset, threads_may_share_one) {
  const SharedFolder folder("dataset");
  testing::write_example_dataset(world(), folder.path());
  const Dataset dataset = Dataset::open(folder.path());
  const auto column = dataset.column("passages", "page");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (std::int64_t row = 0; row < kExampleRows; ++row) {
        std::int64_t page = 0;
        dataset.read(column, row, 1, std::span(&page, 1));
        EXPECT_EQ(page, example_page(row));
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST(Dataset, what_it_does_not_have_is_bad_data_and_misuse_a_bug) {
  const SharedFolder folder("dataset");
  testing::write_example_dataset(world(), folder.path());
  const Dataset dataset = Dataset::open(folder.path());
  EXPECT_TRUE(dataset.has_table("passages"));
  EXPECT_FALSE(dataset.has_table("pages"));
  EXPECT_THROW(dataset.rows("pages"), Error);
  EXPECT_THROW(dataset.column("passages", "none"), Error);
  EXPECT_THROW(Dataset::open(folder.path(), kModelKind), Error);
  std::vector<std::int64_t> pages(2);
  EXPECT_THROW(
      dataset.read(dataset.column("passages", "page"), kExampleRows - 1, 2, std::span(pages)), Bug);
  EXPECT_THROW(dataset.read(dataset.column("passages", "pair"), 0, 2, std::span(pages)), Bug);
}

TEST(Dataset, damage_is_bad_data_that_names_the_shard) {
  const SharedFolder folder("dataset");
  testing::write_example_dataset(world(), folder.path());
  world().barrier();
  const Dataset dataset = Dataset::open(folder.path());
  if (world().is_root()) {
    const FileRecord& record = *dataset.manifest().find_file(shard_file(3));
    File file(folder.path() / record.name, FileMode::update);
    file.write_at(std::as_bytes(std::span("x", 1)),
                  record.extents[std::size_t(record.find("/passages/page"))].offset + 3);
  }
  world().barrier();
  std::vector<std::int64_t> pages(static_cast<std::size_t>(kExampleRows));
  try {
    dataset.read(dataset.column("passages", "page"), 0, kExampleRows, std::span(pages));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(error.place().find(shard_file(3)), std::string::npos);
    EXPECT_NE(error.problem().find("/passages/page"), std::string::npos);
  }
}

}  // namespace
}  // namespace tutti
