#include "runtime/io/sealed_json.h"

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;

const json kObject = {{"kind", "test"},
                      {"list", {1, 2, 3}},
                      {"files", json::array({{{"name", "a"}, {"bytes", 12}}, {{"name", "b"}}})},
                      {"text", "ends with \"crc32c\":\"00000000\""},
                      {"nothing", nullptr}};

TEST(SealedJson, reads_back_and_is_plain_json) {
  const std::string bytes = seal_json(kObject);
  EXPECT_EQ(unseal_json(bytes, "here"), kObject);
  EXPECT_EQ(bytes, seal_json(kObject));
  const json plain = json::parse(bytes);
  EXPECT_EQ(plain.at("kind"), "test");
  EXPECT_EQ(plain.at("crc32c").get<std::string>().size(), 8u);
  EXPECT_EQ(unseal_json(seal_json(json::object()), "here"), json::object());
}

TEST(SealedJson, is_the_format_that_is_written_down) {
  EXPECT_EQ(seal_json({{"kind", "example"}, {"files", json::array({{{"name", "a"}}})}}),
            "{\"crc32c\":\"033e8d69\",\n\"files\":[\n {\"name\":\"a\"}],\n\"kind\":\"example\"}\n");
}

TEST(SealedJson, every_flipped_bit_is_found) {
  const std::string bytes = seal_json(kObject);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = char(damaged[i] ^ (1 << bit));
      EXPECT_THROW(unseal_json(damaged, "here"), Error) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(SealedJson, every_cut_and_anything_added_is_found) {
  const std::string bytes = seal_json(kObject);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_THROW(unseal_json(bytes.substr(0, length), "here"), Error) << length;
  EXPECT_THROW(unseal_json(bytes + "\n", "here"), Error);
}

TEST(SealedJson, errors_name_the_file) {
  const testing::ScratchFolder scratch("sealed");
  const auto path = scratch.path() / "m.json";
  write_sealed_json(path, kObject);
  EXPECT_EQ(read_sealed_json(path), kObject);
  testing::write_text(path, "{\"kind\":\"test\"}");
  try {
    read_sealed_json(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_EQ(error.place(), path.string());
  }
}

TEST(SealedJson, its_own_key_is_not_for_others) {
  EXPECT_THROW(seal_json({{"crc32c", 1}}), Bug);
  EXPECT_THROW(seal_json(json::array()), Bug);
}

TEST(SealedJson, nothing_is_nested_deeper_than_it_can_be_written) {
  nlohmann::json deep = 1;
  for (int i = 0; i < 50; ++i) deep = {{"a", deep}};
  EXPECT_EQ(unseal_json(seal_json(deep), "here"), deep);
  for (int i = 0; i < 50; ++i) deep = {{"a", deep}};
  EXPECT_THROW(unseal_json(seal_json(deep), "here"), Error);
}

}  // namespace
}  // namespace tutti
