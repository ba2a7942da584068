#include "runtime/data/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace tutti {
namespace {

bool continues(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// Bytes of the character that starts at `p`, or 0 where none does within `left` bytes.
std::size_t character_bytes(const unsigned char* p, std::size_t left) {
  const unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes > left) return 0;
  for (std::size_t i = 1; i < bytes; ++i)
    if (!continues(p[i])) return 0;
  const bool overlong = (lead == 0xE0 && p[1] < 0xA0) || (lead == 0xF0 && p[1] < 0x90);
  const bool surrogate = lead == 0xED && p[1] >= 0xA0;
  const bool too_large = lead == 0xF4 && p[1] >= 0x90;
  return overlong || surrogate || too_large ? 0 : bytes;
}

}  // namespace

std::size_t utf8_prefix(std::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t i = 0;
  while (i < text.size()) {
    std::uint64_t word;  // most text is ASCII: eight bytes at a time
    if (text.size() - i >= 8 &&
        (std::memcpy(&word, bytes + i, 8), (word & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const std::size_t n = character_bytes(bytes + i, text.size() - i);
    if (n == 0) return i;
    i += n;
  }
  return i;
}

std::size_t utf8_floor(std::string_view text, std::size_t limit) {
  if (limit >= text.size()) return text.size();
  while (limit > 0 && continues(static_cast<unsigned char>(text[limit]))) --limit;
  return limit;
}

std::string_view without_bom(std::string_view text) {
  return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

void append_utf8(char32_t code, std::string& text) {
  const auto tail = [&](int shift) { text += char(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    text += char(code);
  } else if (code < 0x800) {
    text += char(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    text += char(0xE0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    text += char(0xF0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace tutti
