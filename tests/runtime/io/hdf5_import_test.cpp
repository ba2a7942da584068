#include "runtime/io/hdf5_import.h"

#include <cstdlib>
#include <numeric>

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/io/extent_file.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;

// An ann-benchmarks file of 10 vectors of 3 dimensions.
void write_example(const std::filesystem::path& path) {
  ExtentWriter writer(path,
                      {{"/train", DType::f32, {10, 3}, {}},
                       {"/neighbors", DType::i32, {2, 4}, {}},
                       {"/flat", DType::u8, {5}, {}}},
                      {{"distance", std::string("euclidean")}, {"dimension", std::int64_t(3)}});
  std::vector<float> train(30);
  std::iota(train.begin(), train.end(), 0.0f);
  const std::vector<std::int32_t> neighbors = {3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<std::uint8_t> flat = {250, 251, 252, 253, 254};
  writer.write_all(0, std::as_bytes(std::span(train)));
  writer.write_all(1, std::as_bytes(std::span(neighbors)));
  writer.write_all(2, std::as_bytes(std::span(flat)));
  writer.finish();
}

void expect_example(const std::filesystem::path& path) {
  const Hdf5Import file(path);
  ASSERT_EQ(file.datasets().size(), 3u);
  EXPECT_EQ(file.datasets()[0].path, "/flat");
  const Hdf5Dataset* train = file.find("train");
  ASSERT_NE(train, nullptr);
  EXPECT_EQ(train->type, Hdf5Dataset::Type::floating);
  EXPECT_EQ(train->element_bytes, 4);
  EXPECT_EQ(train->shape, std::vector<std::int64_t>({10, 3}));
  std::vector<float> rows(6);
  file.read_rows(*train, 4, 2, std::span(rows));
  EXPECT_EQ(rows, std::vector<float>({12, 13, 14, 15, 16, 17}));
  file.read_rows(*train, 10, 0, std::span<float>());

  const Hdf5Dataset* neighbors = file.find("/neighbors");
  EXPECT_EQ(neighbors->type, Hdf5Dataset::Type::integer);
  std::vector<std::int32_t> small(4);
  file.read_rows(*neighbors, 1, 1, std::span(small));
  EXPECT_EQ(small, std::vector<std::int32_t>({5, 9, 2, 6}));
  std::vector<std::int64_t> wide(5);
  file.read_rows(*file.find("flat"), 0, 5, std::span(wide));
  EXPECT_EQ(wide, std::vector<std::int64_t>({250, 251, 252, 253, 254}));
  std::vector<std::uint8_t> bytes(2);
  file.read_rows(*file.find("flat"), 3, 2, std::span(bytes));
  EXPECT_EQ(bytes, std::vector<std::uint8_t>({253, 254}));

  EXPECT_EQ(file.attribute("distance"), "euclidean");
  EXPECT_EQ(file.attribute("dimension"), "3");
  EXPECT_EQ(file.attribute("none"), std::nullopt);
  EXPECT_EQ(file.find("/none"), nullptr);
}

TEST(Hdf5Import, reads_contiguous_datasets) {
  const ScratchFolder scratch("import");
  write_example(scratch.path() / "a.h5");
  expect_example(scratch.path() / "a.h5");
}

TEST(Hdf5Import, reads_chunked_and_compressed_datasets) {
  const ScratchFolder scratch("import");
  const std::string from = (scratch.path() / "a.h5").string(),
                    to = (scratch.path() / "b.h5").string();
  write_example(from);
  if (std::system("h5repack --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no h5repack here";
  const std::string repack = "h5repack -l train:CHUNK=3x2 -f train:GZIP=4 ";
  ASSERT_EQ(std::system((repack + from + " " + to).c_str()), 0);
  expect_example(to);
}

TEST(Hdf5Import, what_is_no_hdf5_file_is_bad_data) {
  const ScratchFolder scratch("import");
  const auto path = scratch.path() / "a.h5";
  write_example(path);
  const std::string good = testing::read_text(path);
  testing::write_text(scratch.path() / "text", "hello");
  testing::write_text(scratch.path() / "empty", "");
  testing::write_text(scratch.path() / "cut", good.substr(0, 300));
  for (const char* name : {"text", "empty", "cut", "none"}) {
    try {
      const Hdf5Import file(scratch.path() / name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_EQ(error.place(), (scratch.path() / name).string());
    }
  }
}

TEST(Hdf5Import, asks_for_rows_that_are_there) {
  const ScratchFolder scratch("import");
  write_example(scratch.path() / "a.h5");
  const Hdf5Import file(scratch.path() / "a.h5");
  std::vector<float> rows(6);
  EXPECT_THROW(file.read_rows(*file.find("train"), 9, 2, std::span(rows)), Bug);
  EXPECT_THROW(file.read_rows(*file.find("train"), 0, 1, std::span(rows)), Bug);
}

}  // namespace
}  // namespace tutti
