#include "runtime/data/byte_level.h"

#include <array>

#include "runtime/data/utf8.h"

namespace tutti {
namespace {

// Printable bytes stand for themselves; the others, in order, for what begins at U+0100.
struct Tables {
  std::array<char32_t, 256> character{};
  std::array<int, 324> byte;  // -1: none

  Tables() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool is_printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t c = is_printable ? char32_t(b) : next++;
      character[std::size_t(b)] = c;
      byte[c] = b;
    }
  }
};

const Tables& tables() {
  static const Tables tables;
  return tables;
}

}  // namespace

char32_t byte_level_character(unsigned char byte) { return tables().character[byte]; }

std::optional<std::string> byte_level_bytes(std::string_view piece) {
  std::string bytes;
  const char* const end = piece.data() + piece.size();
  for (const char* p = piece.data(); p < end;) {
    const Character c = character_at(p, end);
    if (c.code >= tables().byte.size() || tables().byte[c.code] < 0) return std::nullopt;
    bytes += char(tables().byte[c.code]);
    p += c.bytes;
  }
  return bytes;
}

}  // namespace tutti
