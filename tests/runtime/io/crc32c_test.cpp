#include "runtime/io/crc32c.h"

#include <string>

#include <gtest/gtest.h>

namespace tutti {
namespace {

// One bit after another, as the polynomial says.
std::uint32_t by_definition(const std::string& text) {
  std::uint32_t crc = 0xffffffffu;
  for (unsigned char byte : text) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

TEST(Crc32c, has_the_standard_check_value) {
  EXPECT_EQ(crc32c(std::string_view("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string_view("")), 0u);
}

TEST(Crc32c, equals_its_definition_at_every_length) {
  std::string text;
  for (int i = 0; i < 700; ++i) {
    EXPECT_EQ(crc32c(text), by_definition(text)) << i;
    text.push_back(char(i * 37 + i / 256));
  }
}

TEST(Crc32c, goes_on_from_a_seed) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    EXPECT_EQ(
        crc32c(std::string_view(text).substr(cut), crc32c(std::string_view(text).substr(0, cut))),
        crc32c(text));
}

TEST(Crc32c, is_written_as_eight_digits) {
  EXPECT_EQ(crc_to_hex(0x00a1b2c3), "00a1b2c3");
  std::uint32_t crc = 0;
  EXPECT_TRUE(crc_from_hex("00a1b2c3", &crc));
  EXPECT_EQ(crc, 0x00a1b2c3u);
  for (const char* wrong : {"", "00a1b2c", "00A1b2c3", "00a1b2c3 ", "0x123456", "-0000001"})
    EXPECT_FALSE(crc_from_hex(wrong, &crc)) << wrong;
}

}  // namespace
}  // namespace tutti
