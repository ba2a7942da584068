// UTF-8 validation, against the definition of RFC 3629.
#include "runtime/data/utf8.h"
#include "tests/fuzz/support.h"

namespace {

// Bytes of the character in front, decoded and looked at whole; 0 where there is none.
std::size_t character_in_front(std::string_view text) {
  const auto byte = [&](std::size_t i) { return std::uint32_t(std::uint8_t(text[i])); };
  const std::uint32_t lead = byte(0);
  const std::size_t bytes = lead < 0x80       ? 1
                            : lead >> 5 == 6  ? 2
                            : lead >> 4 == 14 ? 3
                            : lead >> 3 == 30 ? 4
                                              : 0;
  if (bytes == 0 || bytes > text.size()) return 0;
  std::uint32_t code = bytes == 1 ? lead : lead & (0x7Fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if (byte(i) >> 6 != 2) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < kSmallest[bytes] || surrogate || code > 0x10FFFF ? 0 : bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = tutti::fuzz::text_of(data, size);
  std::size_t valid = 0;
  for (std::size_t n; valid < size && (n = character_in_front(text.substr(valid))) > 0;) valid += n;
  CHECK(tutti::utf8_prefix(text) == valid);

  const std::string_view whole = text.substr(0, valid);
  for (std::size_t limit = 0; limit <= valid; ++limit) {
    const std::size_t floor = tutti::utf8_floor(whole, limit);
    CHECK(floor <= limit && limit - floor < 4 &&
          tutti::utf8_prefix(whole.substr(0, floor)) == floor);
  }
  CHECK(whole.ends_with(tutti::without_bom(whole)));
  return 0;
}
