// Which rows train an index's centroids.
#include "jobs/row_sample.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "runtime/io/file_record.h"

namespace tutti {
namespace {

std::vector<std::int64_t> all_of(const RowSample& sample) {
  return sample.rows_of({0, sample.size()});
}

// Blocks of the column that hold a row of the sample.
std::size_t blocks_of(const std::vector<std::int64_t>& rows, std::int64_t row_bytes) {
  std::set<std::int64_t> blocks;
  for (const std::int64_t row : rows) blocks.insert(row * row_bytes / kBlockBytes);
  return blocks.size();
}

void expect_a_choice(const std::vector<std::int64_t>& rows, std::int64_t size, std::int64_t of) {
  ASSERT_EQ(std::int64_t(rows.size()), size);
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
  EXPECT_EQ(std::set(rows.begin(), rows.end()).size(), rows.size());
  if (size > 0) {
    EXPECT_GE(rows.front(), 0);
    EXPECT_LT(rows.back(), of);
  }
}

TEST(RowSample, TakesOneRowOutOfEachRun) {
  for (const std::int64_t size : {0, 1, 7, 499, 500, 999, 1000}) {
    const std::vector<std::int64_t> rows = all_of({1000, 64, size, 5});
    expect_a_choice(rows, size, 1000);
    for (std::int64_t i = 0; i < size; ++i)
      EXPECT_TRUE(part_of(1000, size, i).contains(rows[std::size_t(i)])) << size << " " << i;
  }
  EXPECT_NE(all_of({1000, 64, 100, 5}), all_of({1000, 64, 100, 6}));
}

TEST(RowSample, PartsAreThoseOfTheWhole) {
  for (const std::int64_t rows : {std::int64_t(100000), std::int64_t(1) << 32}) {
    const RowSample sample(rows, 512, 60000, 3);
    const std::vector<std::int64_t> all = all_of(sample);
    std::vector<std::int64_t> joined;
    for (std::int64_t part = 0; part < 7; ++part)
      for (const std::int64_t row : sample.rows_of(part_of(60000, 7, part))) joined.push_back(row);
    EXPECT_EQ(joined, all);
  }
}

TEST(RowSample, OfALargeTableReadsAFewBlocks) {
  const std::int64_t rows = std::int64_t(1) << 32, row_bytes = 512, size = 3000001;
  const std::vector<std::int64_t> drawn = all_of({rows, row_bytes, size, 1});
  expect_a_choice(drawn, size, rows);
  EXPECT_LE(blocks_of(drawn, row_bytes), std::size_t(2 * RowSample::kPlaces));
  // As little is read anyway where the sample is small; where the table is, all of it.
  expect_a_choice(all_of({rows, row_bytes, 1000, 1}), 1000, rows);
  const std::int64_t fewer = rows / 256;
  EXPECT_EQ(blocks_of(all_of({fewer, row_bytes, fewer / 10, 1}), row_bytes),
            std::size_t(fewer * row_bytes / kBlockBytes));
  const std::int64_t places = 100;
  EXPECT_LE(blocks_of(all_of({rows, row_bytes, 1000, 1, places}), row_bytes),
            std::size_t(2 * places));
}

}  // namespace
}  // namespace tutti
