#include "runtime/data/ranges_file.h"

#include <gtest/gtest.h>

#include "runtime/data/paths.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

template <class T>
std::vector<T> column(const std::filesystem::path& folder, const FileRecord& record,
                      const std::string& name) {
  const int found = record.find(name);
  if (found < 0) return {};
  std::vector<T> values(std::size_t(record.extents[std::size_t(found)].elements()));
  ExtentReader(folder / kRangesFile, record).read(std::size_t(found), 0, std::span(values));
  return values;
}

TEST(RangesFile, HasWhatWasAppended) {
  const testing::ScratchFolder folder("ranges_file_test");
  RangesWriter writer(folder.path(), {7, "euclidean", true, true});
  using Ids = std::vector<std::int64_t>;
  writer.append(Ids{2, 0}, Ids{5, 3}, std::vector<float>{0.5f, 1});
  writer.append_external_ids(Ids{50, 30});
  writer.append_indexes(std::vector<std::int32_t>{1, 0});
  writer.append(Ids{1}, Ids{9}, std::vector<float>{2});
  writer.append_external_ids(Ids{90});
  writer.append_indexes(std::vector<std::int32_t>{1});
  EXPECT_EQ(writer.neighbors(), 3);
  const FileRecord record = writer.finish();
  EXPECT_EQ(column<std::int64_t>(folder.path(), record, "/offsets"), (Ids{0, 2, 2, 3}));
  EXPECT_EQ(column<std::int64_t>(folder.path(), record, "/neighbors"), (Ids{5, 3, 9}));
  EXPECT_EQ(column<float>(folder.path(), record, "/distances"), (std::vector<float>{0.5f, 1, 2}));
  EXPECT_EQ(column<std::int64_t>(folder.path(), record, "/external_ids"), (Ids{50, 30, 90}));
  EXPECT_EQ(column<std::int32_t>(folder.path(), record, "/index"),
            (std::vector<std::int32_t>{1, 0, 1}));
}

TEST(RangesFile, MoreThanMemoryWaitsInFilesThatGo) {
  const testing::ScratchFolder folder("ranges_file_test");
  const std::vector<std::int64_t> ids(1 << 20, 7);
  const std::vector<float> distances(ids.size(), 0.5f);
  const std::vector<std::int64_t> counts = {std::ssize(ids)};
  {
    RangesWriter writer(folder.path(), {7, "ip"});
    writer.append(counts, ids, distances);
    EXPECT_FALSE(std::filesystem::is_empty(folder.path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  FileRecord record;
  {
    RangesWriter writer(folder.path(), {7, "ip"});
    writer.append(counts, ids, distances);
    record = writer.finish();
  }
  EXPECT_EQ(column<std::int64_t>(folder.path(), record, "/neighbors"), ids);
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    EXPECT_EQ(entry.path().filename(), kRangesFile);
}

}  // namespace
}  // namespace tutti
