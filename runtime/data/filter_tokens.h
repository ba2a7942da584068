// The words of a filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/error.h"

namespace tutti {

// A number as it was written: whole ones within 64 bits are kept exactly.
struct FilterNumber {
  bool whole = false;
  std::int64_t integer = 0;  // where it is whole, else 0; never the least of 64 bits
  double real = 0;           // in any case, rounded
};

struct FilterToken {
  enum class Kind { name, quoted_name, text, number, symbol, end };
  Kind kind = Kind::end;
  std::string text = {};  // a name, or what a string says, or a symbol, or a number as written
  FilterNumber number = {};
  std::size_t at = 0;  // its first byte in the filter
};

// The last one is `end`. Throws the Error of filter_error.
std::vector<FilterToken> filter_tokens(std::string_view filter);

// The token as a message names it: "'year'", "the string 'en'", "the end".
std::string described(const FilterToken& token);

// Error(data) for a mistake at byte `at`.
Error filter_error(std::string_view filter, std::size_t at, std::string problem,
                   std::string remedy = "");

}  // namespace tutti
