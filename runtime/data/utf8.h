// UTF-8, where text comes from outside.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tutti {

// Length of the longest prefix that is well-formed UTF-8 (RFC 3629: no surrogates, no overlong
// forms, at most U+10FFFF); text.size() where all of it is.
std::size_t utf8_prefix(std::string_view text);

// The largest position at most `limit` at which no character of well-formed `text` is cut.
std::size_t utf8_floor(std::string_view text, std::size_t limit);

// `text` without a byte order mark in front.
std::string_view without_bom(std::string_view text);

// A code point and how many bytes it takes.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
};

// The character at `p`, before `end`. Of bytes that are no UTF-8 the result has no meaning, but
// stays within `end`.
inline Character character_at(const char* p, const char* end) {
  const auto byte = [&](int i) { return char32_t(static_cast<unsigned char>(p[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const auto left = end - p;
  if (lead < 0xE0)
    return left < 2 ? Character{} : Character{(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0)
    return left < 3 ? Character{}
                    : Character{(lead & 0xF) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  if (left < 4) return {};
  return {(lead & 7) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

// Appends the UTF-8 of a code point.
void append_utf8(char32_t code, std::string& text);

}  // namespace tutti
