#include "runtime/data/vector_file.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "kernels/core/random.h"
#include "runtime/base/error.h"
#include "runtime/io/extent_file.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::ScratchFolder;
using testing::write_text;
namespace fs = std::filesystem;

template <class T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), std::data(values), bytes.size());
  return bytes;
}

std::string npy(int version, std::string header, const std::string& data) {
  header += "\n";
  std::string file = std::string("\x93NUMPY") + char(version) + '\0';
  file += version == 1 ? bytes_of<std::uint16_t>({std::uint16_t(header.size())})
                       : bytes_of<std::uint32_t>({std::uint32_t(header.size())});
  return file + header + data;
}
std::string npy_header(const std::string& descr, const std::string& shape,
                       const char* fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape +
         ", }   ";
}

template <class T>
std::vector<T> read(const VectorFile& file, std::int64_t begin, std::int64_t count) {
  std::vector<T> values(std::size_t(count * file.dimension()));
  EXPECT_EQ(sizeof(T), size_of(file.dtype()));
  file.read_rows(begin, count, std::as_writable_bytes(std::span(values)));
  return values;
}

class VectorFileTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& bytes) const {
    fs::remove(scratch_.path() / name);  // ext4 syncs a file that is cut and written again
    write_text(scratch_.path() / name, bytes);
    return scratch_.path() / name;
  }
  // What opening (and reading) a file of these bytes says, which must name the file.
  std::string problem(const std::string& name, const std::string& bytes) const {
    const fs::path path = write(name, bytes);
    try {
      const VectorFile file(path);
      std::vector<std::byte> rows(std::size_t(file.rows() * file.row_bytes()));
      file.read_rows(0, file.rows(), rows);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      EXPECT_EQ(e.place(), path.string());
      return e.problem();
    }
    return "";
  }

  ScratchFolder scratch_{"vector_file"};
};

TEST_F(VectorFileTest, RowHeaders) {
  const VectorFile f(write("a.fvecs", bytes_of<std::int32_t>({2}) + bytes_of<float>({1, 2}) +
                                          bytes_of<std::int32_t>({2}) +
                                          bytes_of<float>({-3, 4.5f})));
  EXPECT_EQ(f.rows(), 2);
  EXPECT_EQ(f.dimension(), 2);
  EXPECT_EQ(f.dtype(), DType::f32);
  EXPECT_EQ(read<float>(f, 0, 2), (std::vector<float>{1, 2, -3, 4.5f}));
  EXPECT_EQ(read<float>(f, 1, 1), (std::vector<float>{-3, 4.5f}));
  const VectorFile i(write("a.ivecs", bytes_of<std::int32_t>({3, 7, -8, 9})));
  EXPECT_EQ(read<std::int32_t>(i, 0, 1), (std::vector<std::int32_t>{7, -8, 9}));
  const VectorFile b(
      write("a.bvecs", bytes_of<std::int32_t>({2}) + bytes_of<std::uint8_t>({255, 0})));
  EXPECT_EQ(read<std::uint8_t>(b, 0, 1), (std::vector<std::uint8_t>{255, 0}));
}

TEST_F(VectorFileTest, BigAnn) {
  const std::string header = bytes_of<std::uint32_t>({2, 2});
  const VectorFile f(write("a.fbin", header + bytes_of<float>({1, 2, 3, 4})));
  EXPECT_EQ(read<float>(f, 1, 1), (std::vector<float>{3, 4}));
  const VectorFile h(
      write("a.f16bin", header + bytes_of<std::uint16_t>({0x3C00, 0, 0x8000, 0x7BFF})));
  EXPECT_EQ(h.dtype(), DType::f16);
  EXPECT_EQ(read<std::uint16_t>(h, 0, 2), (std::vector<std::uint16_t>{0x3C00, 0, 0x8000, 0x7BFF}));
  const VectorFile u(write("a.u8bin", header + bytes_of<std::uint8_t>({1, 2, 3, 200})));
  EXPECT_EQ(read<std::uint8_t>(u, 1, 1), (std::vector<std::uint8_t>{3, 200}));
  const VectorFile s(write("a.i8bin", header + bytes_of<std::int8_t>({1, -2, 3, -128})));
  EXPECT_EQ(read<std::int8_t>(s, 0, 2), (std::vector<std::int8_t>{1, -2, 3, -128}));
  const VectorFile i(write("a.ibin", header + bytes_of<std::int32_t>({1, -2, 3, 1 << 30})));
  EXPECT_EQ(read<std::int32_t>(i, 1, 1), (std::vector<std::int32_t>{3, 1 << 30}));
  EXPECT_EQ(VectorFile(write("named.otherwise", header + "abcd"), "u8bin").rows(), 2);
}

TEST_F(VectorFileTest, Npy) {
  for (const int version : {1, 2, 3}) {
    const VectorFile f(
        write("a.npy", npy(version, npy_header("<f4", "(2, 2)"), bytes_of<float>({1, 2, 3, 4}))));
    EXPECT_EQ(read<float>(f, 0, 2), (std::vector<float>{1, 2, 3, 4})) << version;
  }
  const VectorFile d(
      write("d.npy", npy(1, npy_header("<f8", "(1, 3L)"), bytes_of<double>({1, 0.1, -1e300 * 0}))));
  EXPECT_EQ(d.dtype(), DType::f32);
  EXPECT_EQ(read<float>(d, 0, 1), (std::vector<float>{1, 0.1f, -0.0f}));
  const VectorFile s(write(
      "s.npy", npy(1, "{\"shape\":(2,1),\"descr\":\"|i1\",\"fortran_order\":False}", "\x01\xFF")));
  EXPECT_EQ(read<std::int8_t>(s, 0, 2), (std::vector<std::int8_t>{1, -1}));
}

TEST_F(VectorFileTest, AnnBenchmarks) {
  const fs::path path = scratch_.path() / "a.hdf5";
  {
    ExtentWriter writer(path, {{"/train", DType::f32, {4, 2}, {}},
                               {"/bytes", DType::u8, {2, 3}, {}},
                               {"/neighbors", DType::i32, {2, 2}, {}},
                               {"/negative", DType::i8, {2, 1}, {}}});
    std::vector<float> train(8);
    std::iota(train.begin(), train.end(), 0.0f);
    const std::vector<std::int32_t> neighbors = {0, 1, 2, 3};
    const std::vector<std::int8_t> negative = {3, -1};
    writer.write_all(0, std::as_bytes(std::span(train)));
    writer.write_all(1, std::as_bytes(std::span("\x01\x02\x03\x04\x05\xFF", 6)));
    writer.write_all(2, std::as_bytes(std::span(neighbors)));
    writer.write_all(3, std::as_bytes(std::span(negative)));
    writer.finish();
  }
  const VectorFile f(path);
  EXPECT_EQ(f.rows(), 4);
  EXPECT_EQ(read<float>(f, 2, 2), (std::vector<float>{4, 5, 6, 7}));
  const VectorFile b(path, "hdf5", "bytes");
  EXPECT_EQ(b.dtype(), DType::u8);
  EXPECT_EQ(read<std::uint8_t>(b, 1, 1), (std::vector<std::uint8_t>{4, 5, 255}));
  EXPECT_THROW(VectorFile(path, "", "neighbors"), Error);
  EXPECT_THROW(VectorFile(path, "", "test"), Error);
  EXPECT_THROW(read<std::uint8_t>(VectorFile(path, "", "negative"), 0, 2), Error);
}

TEST_F(VectorFileTest, CutAndLyingFiles) {
  const std::string row = bytes_of<std::int32_t>({3}) + bytes_of<float>({1, 2, 3});
  EXPECT_EQ(problem("e.fvecs", ""), "the file is empty");
  EXPECT_EQ(problem("a.fvecs", row + row + row.substr(0, 7)),
            "cut off in row 2: the file has 39 bytes; expected a multiple of 16 (4 + 3 x 4 a row)");
  EXPECT_EQ(problem("b.fvecs", row + bytes_of<std::int32_t>({2}) + row.substr(4)),
            "row 1 (byte 16) has 2 dimensions; expected 3, as in the first row");
  for (const std::int32_t dimension : {0, -1, 1 << 30})
    EXPECT_NE(problem("c.fvecs", bytes_of<std::int32_t>({dimension, 0})), "") << dimension;
  EXPECT_NE(problem("d.bvecs", "\x01"), "");
  EXPECT_NE(problem("a.fbin", bytes_of<std::uint32_t>({2})), "");
  EXPECT_NE(problem("b.fbin", bytes_of<std::uint32_t>({2, 1}) + bytes_of<float>({1})), "");
  EXPECT_NE(problem("c.fbin", bytes_of<std::uint32_t>({1, 1}) + bytes_of<float>({1, 2})), "");
  EXPECT_NE(problem("d.u8bin", bytes_of<std::uint32_t>({0xFFFFFFFF, 0xFFFFFFFF}) + "abc"), "");
  EXPECT_EQ(problem("z.u8bin", bytes_of<std::uint32_t>({0, 4})), "the file holds no rows");
}

TEST_F(VectorFileTest, WrongNpy) {
  const std::string data = bytes_of<float>({1, 2, 3, 4}),
                    good = npy(1, npy_header("<f4", "(2, 2)"), data);
  EXPECT_EQ(problem("good.npy", good), "");
  for (std::size_t bytes = 1; bytes < good.size(); ++bytes)
    EXPECT_NE(problem("cut.npy", good.substr(0, bytes)), "") << bytes;
  EXPECT_NE(problem("long.npy", good + "x"), "");
  EXPECT_NE(problem("v9.npy", npy(9, npy_header("<f4", "(2, 2)"), data)), "");
  EXPECT_NE(problem("flat.npy", npy(1, npy_header("<f4", "(4,)"), data)), "");
  EXPECT_NE(problem("fortran.npy", npy(1, npy_header("<f4", "(2, 2)", "True"), data)), "");
  EXPECT_NE(problem("big_endian.npy", npy(1, npy_header(">f4", "(2, 2)"), data)), "");
  EXPECT_NE(problem("huge.npy", npy(1, npy_header("<f4", "(9223372036854775807, 1048576)"), data)),
            "");
  EXPECT_NE(
      problem("structured.npy",
              npy(1, "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2, 2)}", data)),
      "");
  for (const char* header :
       {"", "{", "{}", "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 99999999999999999999)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2", "{'descr: 1}"})
    EXPECT_NE(problem("header.npy", npy(1, header, data)), "") << header;
}

// Whatever the bytes are, they are read or refused.
TEST_F(VectorFileTest, AnyBytes) {
  const std::string seeds[] = {npy(1, npy_header("<f4", "(2, 2)"), bytes_of<float>({1, 2, 3, 4})),
                               npy(2, npy_header("<f8", "(1, 3)"), bytes_of<double>({1, 2, 3})),
                               bytes_of<std::uint32_t>({2, 1}) + bytes_of<float>({1, 2}),
                               bytes_of<std::int32_t>({1, 5, 1, 6})};
  const char* const names[] = {"any.npy", "any.npy", "any.fbin", "any.fvecs"};
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    std::string bytes = seeds[i % 4];
    for (std::uint64_t k = 0; k <= random_u64(1, i, 0) % 3; ++k)
      bytes[random_u64(2, i, k) % bytes.size()] = char(random_u64(3, i, k));
    if (random_u64(4, i, 0) % 4 == 0) bytes.resize(random_u64(5, i, 0) % (bytes.size() + 8));
    refused += !problem(names[i % 4], bytes).empty();
  }
  EXPECT_GT(refused, 1000u);
}

TEST_F(VectorFileTest, NotFinite) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  const std::string header = bytes_of<std::uint32_t>({3, 2});
  EXPECT_EQ(problem("a.fbin", header + bytes_of<float>({1, 2, 3, kNan, 5, 6})),
            "row 1, element 1 is not a finite number");
  EXPECT_EQ(problem("b.fbin", header + bytes_of<float>({1, 2, 3, 4, -kInfinity, 6})),
            "row 2, element 0 is not a finite number");
  EXPECT_EQ(problem("c.fbin", header + bytes_of<float>({1, 2, 3e38f, -3e38f, 1e-45f, -0.0f})), "");
  EXPECT_EQ(problem("d.f16bin", header + bytes_of<std::uint16_t>({0, 0x7E00, 0, 0, 0, 0})),
            "row 0, element 1 is not a finite number");
  EXPECT_EQ(problem("e.npy", npy(1, npy_header("<f8", "(1, 2)"), bytes_of<double>({1, 1e39}))),
            "row 0, element 1 is not a finite number");
  const VectorFile file(
      write("f.fbin", header + bytes_of<float>({kNan, kNan, 3, 4, 5, kInfinity})));
  std::vector<float> rows(6);
  std::vector<std::int64_t> bad;
  file.read_rows(0, 3, std::as_writable_bytes(std::span(rows)), &bad);
  EXPECT_EQ(bad, (std::vector<std::int64_t>{0, 2}));
}

TEST_F(VectorFileTest, LargeFileInPieces) {
  std::string bytes;
  constexpr int kRows = 20000, kDimension = 33;
  for (int row = 0; row < kRows; ++row) {
    bytes += bytes_of<std::int32_t>({kDimension});
    for (int i = 0; i < kDimension; ++i) bytes += bytes_of<float>({float(row + i)});
  }
  const VectorFile file(write("large.fvecs", bytes));
  ASSERT_EQ(file.rows(), kRows);
  const auto all = read<float>(file, 5, kRows - 5);
  for (int row = 5; row < kRows; ++row)
    for (int i = 0; i < kDimension; ++i)
      ASSERT_EQ(all[std::size_t((row - 5) * kDimension + i)], float(row + i));
}

TEST_F(VectorFileTest, UnknownEnding) {
  EXPECT_THROW(VectorFile(write("a.txt", "abcd")), Error);
  EXPECT_THROW(VectorFile(scratch_.path() / "missing.fvecs"), Error);
}

}  // namespace
}  // namespace tutti
