// UTF-8, where text comes from outside.
#pragma once

#include <cstddef>
#include <string_view>

namespace tutti {

// Length of the longest prefix that is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most
// U+10FFFF); text.size() where all of it is.
std::size_t utf8_prefix(std::string_view text);

// The largest position at most `limit` at which no character of well-formed `text` is cut.
std::size_t utf8_floor(std::string_view text, std::size_t limit);

// `text` without a byte order mark in front.
std::string_view without_bom(std::string_view text);

}  // namespace tutti
