// GPT-2's way to write any bytes as printable characters.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tutti {

// The character that stands for a byte.
char32_t byte_level_character(unsigned char byte);
// The bytes that `piece` stands for; nothing where one of its characters stands for none.
std::optional<std::string> byte_level_bytes(std::string_view piece);

}  // namespace tutti
