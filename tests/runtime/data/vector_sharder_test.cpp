#include "runtime/data/vector_sharder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;

// Rows first, first + 1, ... of three elements each; those in `bad` start with a NaN.
void write_fbin(const std::filesystem::path& path, std::uint32_t first, std::uint32_t count,
                const std::vector<std::uint32_t>& bad = {}, std::uint32_t dimension = 3) {
  const std::uint32_t header[2] = {count, dimension};
  std::string bytes(reinterpret_cast<const char*>(header), 8);
  for (std::uint32_t row = first; row < first + count; ++row) {
    std::vector<float> values(dimension, float(row));
    if (std::find(bad.begin(), bad.end(), row) != bad.end()) values[0] = NAN;
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  }
  testing::write_text(path, bytes);
}

struct Made {
  std::vector<float> vectors;
  std::vector<std::int64_t> ids;
  std::int64_t skipped = 0;
};

Made make_all(const std::filesystem::path& folder, std::int64_t shards, const VectorInput& input,
              bool skip) {
  Made made;
  for (std::int64_t shard = 0; shard < shards; ++shard) {
    VectorSharder sharder(folder, shard, shards, input, skip);
    while (sharder.read()) sharder.write();
    const ShardRecord record = sharder.finish();
    const ExtentReader reader(folder / shard_file(shard), record.file);
    const std::int64_t rows = record.rows.at(0);
    EXPECT_EQ(sharder.counts().records, rows);
    std::vector<float> vectors(std::size_t(rows * 3));
    std::vector<std::int64_t> ids(std::size_t(rows), 0);
    reader.read(std::size_t(record.file.find("/vectors/vector")), 0, std::span(vectors));
    reader.read(std::size_t(record.file.find("/vectors/id")), 0, std::span(ids));
    made.vectors.insert(made.vectors.end(), vectors.begin(), vectors.end());
    made.ids.insert(made.ids.end(), ids.begin(), ids.end());
    made.skipped += sharder.skipped().count;
  }
  return made;
}

TEST(VectorSharder, AllRowsOfAllFilesWhateverTheShards) {
  const ScratchFolder scratch("vector_sharder");
  write_fbin(scratch.path() / "a.fbin", 0, 7);
  write_fbin(scratch.path() / "b.fbin", 7, 1);
  write_fbin(scratch.path() / "c.fbin", 8, 12);
  const VectorInput input(find_input({scratch.path().string()}, "auto"), "train");
  ASSERT_EQ(input.rows(), 20);
  EXPECT_EQ(input.place(9), (scratch.path() / "c.fbin").string() + ", row 1");
  std::filesystem::create_directories(scratch.path() / "out");
  for (const std::int64_t shards : {1, 3, 20, 25}) {
    const Made made = make_all(scratch.path() / "out", shards, input, shards == 3);
    ASSERT_EQ(made.ids.size(), 20u);
    for (std::size_t i = 0; i < 20; ++i) {
      EXPECT_EQ(made.ids[i], std::int64_t(i));
      EXPECT_EQ(made.vectors[3 * i + 2], float(i));
    }
  }
}

TEST(VectorSharder, BadRowsFailOrAreSkipped) {
  const ScratchFolder scratch("vector_skip");
  write_fbin(scratch.path() / "a.fbin", 0, 5, {0, 3, 4});
  write_fbin(scratch.path() / "b.fbin", 5, 5, {6});
  const VectorInput input(find_input({scratch.path().string()}, "auto"), "train");
  std::filesystem::create_directories(scratch.path() / "out");
  EXPECT_THROW(make_all(scratch.path() / "out", 2, input, false), Error);
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path() / "out")) << "nothing half-written stays";
  for (const std::int64_t shards : {1, 2, 10}) {
    const Made made = make_all(scratch.path() / "out", shards, input, true);
    EXPECT_EQ(made.ids, (std::vector<std::int64_t>{1, 2, 5, 7, 8, 9}));
    EXPECT_EQ(made.skipped, 4);
    for (std::size_t i = 0; i < made.ids.size(); ++i)
      EXPECT_EQ(made.vectors[3 * i], float(made.ids[i]));
  }
}

TEST(VectorSharder, FilesMustAgree) {
  const ScratchFolder scratch("vector_agree");
  write_fbin(scratch.path() / "a.fbin", 0, 5);
  write_fbin(scratch.path() / "b.fbin", 5, 5, {}, 4);
  try {
    VectorInput(find_input({scratch.path().string()}, "auto"), "train");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.place(), (scratch.path() / "b.fbin").string());
    EXPECT_TRUE(e.problem().starts_with("vectors of 4 x f32; expected 3 x f32"));
  }
}

}  // namespace
}  // namespace tutti
