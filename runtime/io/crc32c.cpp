#include "runtime/io/crc32c.h"

#include <algorithm>

#include <isa-l/crc.h>

namespace tutti {

std::uint32_t crc32c(std::span<const std::byte> data, std::uint32_t seed) {
  constexpr std::size_t kMostAtOnce = std::size_t(1) << 30;  // ISA-L counts in int
  std::uint32_t crc = ~seed;  // ISA-L leaves both complements to its caller
  while (!data.empty()) {
    const auto piece = data.first(std::min(data.size(), kMostAtOnce));
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(piece.data()));
    crc = crc32_iscsi(bytes, int(piece.size()), crc);
    data = data.subspan(piece.size());
  }
  return ~crc;
}

std::uint32_t crc32c(std::string_view text, std::uint32_t seed) {
  return crc32c(std::as_bytes(std::span(text)), seed);
}

std::string crc_to_hex(std::uint32_t crc) {
  std::string digits(8, '0');
  for (int i = 7; i >= 0; --i, crc >>= 4) digits[std::size_t(i)] = "0123456789abcdef"[crc & 15];
  return digits;
}

bool crc_from_hex(std::string_view digits, std::uint32_t* crc) {
  if (digits.size() != 8) return false;
  std::uint32_t value = 0;
  for (char c : digits) {
    const bool letter = c >= 'a' && c <= 'f';
    if (!letter && !(c >= '0' && c <= '9')) return false;
    value = value << 4 | std::uint32_t(letter ? c - 'a' + 10 : c - '0');
  }
  *crc = value;
  return true;
}

}  // namespace tutti
