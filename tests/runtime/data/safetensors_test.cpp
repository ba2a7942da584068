// Files of tensors, byte by byte: what is read, every way to be wrong, and what is written.
#include "runtime/data/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/safetensors_writer.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::write_text;

std::string bytes_of_length(std::uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

std::string file_of(const std::string& header, const std::string& data) {
  return bytes_of_length(header.size()) + header + data;
}

class Safetensors : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& bytes) {
    write_text(scratch_.path() / "x.safetensors", bytes);
    return scratch_.path() / "x.safetensors";
  }
  void expect_refused(const std::string& bytes, const std::string& named) {
    try {
      const SafetensorsFile tensors(file(bytes));
      ADD_FAILURE() << "taken: " << bytes.substr(8);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
  void expect_header_refused(const std::string& header, const std::string& named,
                             std::size_t data_bytes = 8) {
    expect_refused(file_of(header, std::string(data_bytes, 'x')), named);
  }

  testing::ScratchFolder scratch_{"safetensors_test"};
};

TEST_F(Safetensors, ReadsEachTypeOfFloats) {
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("half":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},)"
                             R"("brain":{"dtype":"BF16","shape":[1,1],"data_offsets":[12,14]},)"
                             R"("single":{"dtype":"F32","shape":[],"data_offsets":[4,8]},)"
                             R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},)"
                             R"("integer":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}   )";
  const std::string data("\1\0\0\0\0\0\x80\x3f\0\x3c\0\xc0\xc0\x3f", 14);
  const SafetensorsFile tensors(file(file_of(header, data)));
  ASSERT_EQ(tensors.tensors().size(), 5u);
  std::map<std::string, std::vector<float>> values;
  for (const TensorEntry& tensor : tensors.tensors()) {
    if (tensor.name == "integer") continue;
    values[tensor.name].resize(std::size_t(tensor.elements()));
    tensors.read(tensor, values[tensor.name]);
  }
  EXPECT_EQ(values["half"], (std::vector<float>{1, -2}));
  EXPECT_EQ(values["brain"], (std::vector<float>{1.5f}));
  EXPECT_EQ(values["single"], (std::vector<float>{1}));
  EXPECT_TRUE(values["none"].empty());
  float value;
  EXPECT_THROW(tensors.read(tensors.tensors()[0], std::span(&value, 1)), Error);
}

TEST_F(Safetensors, RefusesAHeaderThatIsNone) {
  expect_refused("", "0 bytes");
  expect_refused("1234567", "7 bytes");
  expect_refused(bytes_of_length(100'000'001), "100000001");
  expect_refused(bytes_of_length(~std::uint64_t(0)), "18446744073709551615");
  expect_refused(bytes_of_length(3) + "{}", "3 bytes");
  expect_header_refused(" {}", "brace");
  expect_header_refused("{", "JSON");
  expect_header_refused("{\"\xff\":1}", "JSON");
  expect_header_refused("{} x", "JSON");
  expect_header_refused(std::string(100000, '{'), "JSON");
}

TEST_F(Safetensors, RefusesTensorsThatAreWrong) {
  const auto one = [](const std::string& entry) { return "{\"a\":" + entry + "}"; };
  const std::string good = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_NO_THROW(SafetensorsFile(file(file_of(one(good), "12345678"))));
  expect_header_refused(one("3"), "tensor a");
  expect_header_refused(one(R"({"dtype":"F32","shape":[2]})"), "tensor a");
  expect_header_refused(one(R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})"), "tensor a");
  expect_header_refused(one(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"), "F33");
  expect_header_refused(one(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"), "shape");
  expect_header_refused(one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "shape");
  expect_header_refused(one(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "shape");
  expect_header_refused(
      one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"), "shape");
  expect_header_refused(
      one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"), "too large");
  expect_header_refused(one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "expected 12");
  expect_header_refused(one(R"({"dtype":"F16","shape":[2],"data_offsets":[0,8]})"), "expected 4");
  expect_header_refused(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "end");
  expect_header_refused(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8]})"), "end");
  expect_header_refused(one(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})"), "12 of 8");
  expect_header_refused("{\"a\":" + good + ",\"a\":" + good + "}", "\"a\" is there twice");
  expect_header_refused("{\"__metadata__\":{\"format\":1},\"a\":" + good + "}", "__metadata__");
  expect_header_refused("{\"__metadata__\":[],\"a\":" + good + "}", "__metadata__");
}

TEST_F(Safetensors, RefusesHolesAndOverlaps) {
  const auto two = [](const std::string& second, const std::string& offsets) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[)" +
           second + R"(],"data_offsets":[)" + offsets + "]}}";
  };
  EXPECT_NO_THROW(SafetensorsFile(file(file_of(two("4", "4,8"), "12345678"))));
  expect_header_refused(two("3", "5,8"), "holes");
  expect_header_refused(two("5", "3,8"), "overlap");
  expect_header_refused(two("3", "4,7"), "the file at");
}

TEST_F(Safetensors, TheIndexAndTheFilesMustNameTheSameTensors) {
  const auto& folder = scratch_.path();
  const auto tensor = [](const std::string& name) {
    return file_of("{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234");
  };
  EXPECT_THROW(SafetensorsFolder{folder}, Error) << "nothing there";
  write_text(folder / "1.safetensors", tensor("a"));
  write_text(folder / "2.safetensors", tensor("b"));
  const auto with_index = [&](const std::string& map) {
    write_text(folder / kTensorsIndexFile, "{\"weight_map\":" + map + "}");
    return SafetensorsFolder(folder);
  };
  const SafetensorsFolder good = with_index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  EXPECT_EQ(good.tensors().size(), 2u);
  EXPECT_EQ(good.file_of("b"), (folder / "2.safetensors").string());
  EXPECT_EQ(good.find("c"), nullptr);
  const auto expect_index_refused = [&](const std::string& map, const std::string& named) {
    try {
      with_index(map);
      ADD_FAILURE() << "taken: " << map;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  };
  expect_index_refused(R"({"a":"1.safetensors","c":"2.safetensors"})",
                       "tensor c is not in 2.safetensors");
  expect_index_refused(R"({"a":"2.safetensors","b":"1.safetensors"})",
                       "tensor a is not in 2.safetensors");
  expect_index_refused(R"({"a":"1.safetensors","b":"3.safetensors"})",
                       "3.safetensors is not there; expected it beside the index, with tensor b");
  expect_index_refused(R"({"a":"../x.safetensors"})", "../x.safetensors");
  expect_index_refused(R"({"a":3})", "file for a");
  expect_index_refused("[]", "weight_map");
  write_text(folder / "2.safetensors", tensor("a"));
  expect_index_refused(R"({"a":"1.safetensors","b":"2.safetensors"})", "in another file as well");
}

TEST_F(Safetensors, WritesTheBytesOfTheReference) {
  // As the Python package safetensors 0.8.0 writes {"b": f32 [1, 2], "a": f16 [], "c": bf16 [1]}.
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("c":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]},)"
      R"("a":{"dtype":"F16","shape":[],"data_offsets":[10,12]}})";
  const std::vector<TensorSpec> specs{
      {"b", DType::f32, {1, 2}}, {"a", DType::f16, {}}, {"c", DType::bf16, {1}}};
  write_safetensors(scratch_.path() / "y", specs, [](std::size_t index, std::span<float> values) {
    values[0] = index == 0 ? 1.0f : 1.5f;
    if (index == 0) values[1] = -2;
  });
  const std::string data("\0\0\x80\x3f\0\0\0\xc0\xc0\x3f\0\x3e", 12);
  std::string padded = header;
  padded.resize((padded.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(read_text(scratch_.path() / "y"), file_of(padded, data));
}

TEST_F(Safetensors, EveryHalfComesBackBitForBit) {
  for (const DType type : {DType::f16, DType::bf16}) {
    std::vector<std::uint16_t> halves;  // that are numbers, infinities among them
    const unsigned infinity = type == DType::f16 ? 0x7c00 : 0x7f80;
    for (unsigned bits = 0; bits < 0x10000; ++bits)
      if ((bits & 0x7fff) <= infinity) halves.push_back(std::uint16_t(bits));
    const std::vector<TensorSpec> specs{{"x", type, {std::int64_t(halves.size())}}};
    write_safetensors_folder(
        scratch_.path(), specs, 1 << 30, [&](std::size_t, std::span<float> values) {
          for (std::size_t i = 0; i < values.size(); ++i)
            values[i] =
                type == DType::f16 ? float_from_f16(halves[i]) : float(bf16::from_bits(halves[i]));
        });
    const std::string bytes = read_text(scratch_.path() / kTensorsFile);
    ASSERT_GT(bytes.size(), halves.size() * 2);
    EXPECT_EQ(std::memcmp(bytes.data() + bytes.size() - halves.size() * 2, halves.data(),
                          halves.size() * 2),
              0);
  }
}

TEST_F(Safetensors, ANumberThatDoesNotFitIsNotWritten) {
  const std::vector<TensorSpec> specs{{"x", DType::f16, {1}}};
  const auto write = [&](float value) {
    write_safetensors(scratch_.path() / "z", specs,
                      [&](std::size_t, std::span<float> values) { values[0] = value; });
  };
  EXPECT_THROW(write(70000), Error);
  EXPECT_FALSE(std::filesystem::exists(scratch_.path() / "z"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch_.path()));
  EXPECT_NO_THROW(write(std::numeric_limits<float>::infinity()));
}

TEST_F(Safetensors, FilesAreCutAtTheirSizeAndOldOnesRemoved) {
  std::vector<TensorSpec> specs;
  for (const char* name : {"c", "a", "b", "large"})
    specs.push_back({name, DType::f32, {name[0] == 'l' ? 9 : 2}});
  const TensorSource source = [](std::size_t index, std::span<float> values) {
    std::fill(values.begin(), values.end(), float(index));
  };
  EXPECT_EQ(write_safetensors_folder(scratch_.path(), specs, 16, source).size(), 4u);
  const SafetensorsFolder folder(scratch_.path());
  EXPECT_EQ(folder.file_of("a"), (scratch_.path() / "model-00001-of-00003.safetensors").string());
  EXPECT_EQ(folder.file_of("b"), (scratch_.path() / "model-00002-of-00003.safetensors").string());
  std::vector<float> values(9);
  folder.read("large", values);
  EXPECT_EQ(values, std::vector<float>(9, 3.0f));
  EXPECT_EQ(write_safetensors_folder(scratch_.path(), specs, 60, source),
            (std::vector<std::string>{kTensorsFile}));
  EXPECT_FALSE(std::filesystem::exists(folder.file_of("a")));
  EXPECT_FALSE(std::filesystem::exists(scratch_.path() / kTensorsIndexFile));
}

}  // namespace
}  // namespace tutti
