#include "runtime/data/ground_truth.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/io/extent_file.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::write_text;
namespace fs = std::filesystem;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

const std::vector<std::int32_t> kIds = {3, 1, 4, 1, 5, -1};  // two queries, k 3
const std::vector<float> kDistances = {0, 1, 2, 3, 4, 5};

std::string big_ann(std::uint32_t queries, std::uint32_t k) {
  return bytes_of<std::uint32_t>({queries, k}) + bytes_of(kIds);
}

class GroundTruthTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& bytes) const {
    write_text(scratch_.path() / name, bytes);
    return scratch_.path() / name;
  }
  static std::vector<std::int64_t> read(const GroundTruth& truth, std::int64_t largest = 5) {
    std::vector<std::int64_t> ids(std::size_t(truth.queries() * truth.k()));
    truth.read_rows(0, truth.queries(), largest, ids);
    return ids;
  }
  // What opening and reading it says, which must name the file.
  static std::string problem(const fs::path& path, std::int64_t largest = 5) {
    try {
      read(GroundTruth(path), largest);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      EXPECT_NE(e.place().find(path.filename().string()), std::string::npos) << e.place();
      return e.problem();
    }
    return "";
  }
  static void expect_ids(const fs::path& path) {
    const GroundTruth truth(path);
    EXPECT_EQ(truth.queries(), 2) << path;
    EXPECT_EQ(truth.k(), 3) << path;
    EXPECT_EQ(read(truth), (std::vector<std::int64_t>{3, 1, 4, 1, 5, -1})) << path;
    std::vector<std::int64_t> last(3);
    truth.read_rows(1, 1, 5, last);
    EXPECT_EQ(last, (std::vector<std::int64_t>{1, 5, -1})) << path;
  }

  testing::ScratchFolder scratch_{"ground_truth"};
};

TEST_F(GroundTruthTest, EveryFormatGivesTheSameIds) {
  const std::string length = bytes_of<std::int32_t>({3});
  expect_ids(
      write("a.ivecs", length + bytes_of(kIds).substr(0, 12) + length + bytes_of(kIds).substr(12)));
  for (const char* name : {"a.ibin", "a.bin", "GT"}) {
    expect_ids(write(name, big_ann(2, 3)));
    expect_ids(write(name, big_ann(2, 3) + bytes_of(kDistances)));
  }
  const std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }     \n";
  const std::vector<std::int64_t> wide(kIds.begin(), kIds.end());
  expect_ids(write("a.npy", std::string("\x93NUMPY\x01\x00", 8) +
                                bytes_of<std::uint16_t>({std::uint16_t(header.size())}) + header +
                                bytes_of(wide)));
  const fs::path hdf5 = scratch_.path() / "a.hdf5";
  ExtentWriter writer(hdf5, {{"/neighbors", DType::i64, {2, 3}, {}}});
  writer.write_all(0, std::as_bytes(std::span(wide)));
  writer.finish();
  expect_ids(hdf5);
}

TEST_F(GroundTruthTest, WhatIsNoGroundTruthIsSaid) {
  EXPECT_NE(problem(write("short.bin", "1234")).find("header of 8"), std::string::npos);
  for (const auto& [queries, k] : {std::pair{2u, 2u}, {3u, 3u}, {0xffffffffu, 0xffffffffu}})
    EXPECT_NE(problem(write("lies.bin", big_ann(queries, k))).find("the header claims"),
              std::string::npos);
  EXPECT_NE(problem(write("none.bin", bytes_of<std::uint32_t>({0, 3}))), "");
  EXPECT_NE(problem(write("cut.ivecs", bytes_of<std::int32_t>({3, 1, 2}))).find("cut off"),
            std::string::npos);
  EXPECT_NE(problem(write("text.hdf5", "no HDF5")), "");
  EXPECT_NE(problem(scratch_.path() / "missing.bin"), "");
}

TEST_F(GroundTruthTest, AnIdThatTheIndexHasNotIsNamed) {
  const fs::path path = write("a.bin", big_ann(2, 3));
  EXPECT_EQ(problem(path), "");
  EXPECT_EQ(problem(path, 4), "row 1, neighbour 1 has the id 5; the index's ids go up to 4");
  const fs::path negative =
      write("b.bin", bytes_of<std::uint32_t>({1, 2}) + bytes_of<std::int32_t>({0, -2}));
  EXPECT_EQ(problem(negative), "row 0, neighbour 1 has the id -2; the index's ids go up to 5");
}

}  // namespace
}  // namespace tutti
