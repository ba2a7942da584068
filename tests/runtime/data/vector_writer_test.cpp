#include "runtime/data/vector_writer.h"

#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/vector_file.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

// What comes back of two rows of three.
template <class T>
std::vector<T> written_and_read(const std::filesystem::path& path, const std::string& format,
                                const std::vector<T>& values, DType type) {
  VectorWriter writer(path, format, 2, 3, type);
  const auto bytes = std::as_bytes(std::span(values));
  writer.append(bytes.first(bytes.size() / 2));
  writer.append(bytes.subspan(bytes.size() / 2));
  writer.finish();
  const VectorFile file(path, format);
  EXPECT_EQ(file.rows(), 2) << format;
  EXPECT_EQ(file.dimension(), 3) << format;
  EXPECT_EQ(file.dtype(), type) << format;
  std::vector<T> back(values.size());
  file.read_rows(0, 2, std::as_writable_bytes(std::span(back)));
  return back;
}

TEST(VectorWriter, EveryFormatComesBack) {
  testing::ScratchFolder scratch("vector_writer");
  const auto expect_back = [&]<class T>(const std::vector<T>& values, DType type,
                                        std::initializer_list<const char*> formats) {
    for (const char* format : formats)
      EXPECT_EQ(written_and_read(scratch.path() / "x", format, values, type), values) << format;
  };
  expect_back(std::vector<float>{1, -2.5f, 3e30f, 0, 1e-40f, 6}, DType::f32,
              {"fvecs", "fbin", "npy"});
  expect_back(std::vector<std::uint8_t>{0, 1, 127, 128, 254, 255}, DType::u8,
              {"bvecs", "u8bin", "npy"});
  expect_back(std::vector<std::int8_t>{-128, -1, 0, 1, 126, 127}, DType::i8, {"i8bin", "npy"});
  expect_back(std::vector<std::uint16_t>{0, 0x3c00, 0xbc00, 1, 0x7bff, 0x8000}, DType::f16,
              {"f16bin", "npy"});
  expect_back(std::vector<std::int32_t>{0, -1, 1 << 30, 3, 4, 5}, DType::i32,
              {"ivecs", "ibin", "npy"});
}

TEST(VectorWriter, TheHeaderOfNpyIsNumPysOwn) {
  testing::ScratchFolder scratch("vector_writer");
  const std::vector<float> values(6, 1);
  VectorWriter writer(scratch.path() / "x.npy", "npy", 2, 3, DType::f32);
  writer.append(std::as_bytes(std::span(values)));
  writer.finish();
  const std::string bytes = testing::read_text(scratch.path() / "x.npy");
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  text.resize(117, ' ');
  EXPECT_EQ(bytes.substr(0, 128), std::string("\x93NUMPY\x01\x00\x76\x00", 10) + text + "\n");
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& values, DType from, DType to) {
  ElementConverter converter(from, to, 2);
  const auto bytes = converter.convert(std::as_bytes(std::span(values)), 10);
  std::vector<To> result(bytes.size() / sizeof(To));
  std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

TEST(ElementConverter, KeepsNumbersOrSaysWhichItCannot) {
  EXPECT_EQ(converted<float>(std::vector<std::int8_t>{-128, 127}, DType::i8, DType::f32),
            (std::vector<float>{-128, 127}));
  EXPECT_EQ(converted<float>(std::vector<std::uint16_t>{0x3f80, 0xc000}, DType::bf16, DType::f32),
            (std::vector<float>{1, -2}));
  EXPECT_EQ(converted<std::uint8_t>(std::vector<float>{0, 255}, DType::f32, DType::u8),
            (std::vector<std::uint8_t>{0, 255}));
  EXPECT_EQ(converted<std::int8_t>(std::vector<std::uint8_t>{0, 127}, DType::u8, DType::i8),
            (std::vector<std::int8_t>{0, 127}));
  EXPECT_EQ(converted<std::uint16_t>(std::vector<float>{1, 0.1f}, DType::f32, DType::f16),
            (std::vector<std::uint16_t>{0x3c00, 0x2e66}));
  const auto refused = [](float value, DType to) {
    try {
      converted<std::uint8_t>(std::vector<float>{0, 0, 0, value}, DType::f32, to);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      return e.problem();
    }
    return std::string();
  };
  EXPECT_EQ(refused(0.5f, DType::u8), "row 11, element 1 is 0.5, which u8 does not hold");
  EXPECT_EQ(refused(-1, DType::u8), "row 11, element 1 is -1, which u8 does not hold");
  EXPECT_EQ(refused(128, DType::i8), "row 11, element 1 is 128, which i8 does not hold");
  EXPECT_EQ(refused(70000, DType::f16), "row 11, element 1 is 70000, which f16 does not hold");
  EXPECT_NE(refused(std::numeric_limits<float>::quiet_NaN(), DType::i8), "");
}

}  // namespace
}  // namespace tutti
