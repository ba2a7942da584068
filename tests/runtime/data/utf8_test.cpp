#include "runtime/data/utf8.h"

#include <string>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(Utf8, TakesWhatIsWellFormed) {
  for (const std::string& text :
       {std::string(""), std::string("plain"), std::string("Grüße, 世界 \U0001F600 end of it"),
        std::string("\xED\x9F\xBF \xEE\x80\x80 \xF4\x8F\xBF\xBF")})
    EXPECT_EQ(utf8_prefix(text), text.size()) << text;
}

TEST(Utf8, StopsBeforeWhatIsNot) {
  const std::string good = "0123456789 ü ";
  for (const char* bad : {"\x80", "\xC0\x80", "\xC3", "\xC3(", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE4\xB8"}) {
    EXPECT_EQ(utf8_prefix(good + bad), good.size());
    EXPECT_EQ(utf8_prefix(good + bad + " and more text behind it"), good.size());
  }
}

TEST(Utf8, FloorCutsNoCharacter) {
  const std::string text = "aü世";  // 1 + 2 + 3 bytes
  const std::size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6};
  for (std::size_t limit = 0; limit < 8; ++limit)
    EXPECT_EQ(utf8_floor(text, limit), expected[limit]) << limit;
}

TEST(Utf8, ByteOrderMark) {
  EXPECT_EQ(without_bom("\xEF\xBB\xBFtext"), "text");
  EXPECT_EQ(without_bom("text"), "text");
}

}  // namespace
}  // namespace tutti
