#include "runtime/data/filter_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <system_error>

#include <fmt/format.h>

#include "runtime/data/utf8.h"

namespace tutti {
namespace {

using Kind = FilterToken::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

class Scanner {
 public:
  explicit Scanner(std::string_view filter) : filter_(filter) {}

  FilterToken next() {
    while (at_ < filter_.size() && is_blank(filter_[at_])) ++at_;
    if (at_ == filter_.size()) return {Kind::end, "", {}, at_};
    const char c = filter_[at_];
    if (c == '\'') return quoted(Kind::text);
    if (c == '"') return quoted(Kind::quoted_name);
    if (starts_number()) return number();
    if (is_name(c)) return {Kind::name, take_while(is_name), {}, start_};
    return symbol();
  }

 private:
  char peek(std::size_t ahead) const {
    return at_ + ahead < filter_.size() ? filter_[at_ + ahead] : '\0';
  }
  bool starts_number() const {
    const std::size_t sign = peek(0) == '-' || peek(0) == '+';
    return is_digit(peek(sign)) || (peek(sign) == '.' && is_digit(peek(sign + 1)));
  }
  std::string take_while(bool (*wanted)(char)) {
    start_ = at_;
    while (at_ < filter_.size() && wanted(filter_[at_])) ++at_;
    return std::string(filter_.substr(start_, at_ - start_));
  }

  // A quote within is written twice.
  FilterToken quoted(Kind kind) {
    const std::size_t start = at_;
    const char quote = filter_[at_++];
    std::string text;
    while (true) {
      if (at_ == filter_.size())
        throw filter_error(filter_, start, fmt::format("a {} has no end", quote),
                           "a quote within quotes is written twice");
      const char c = filter_[at_++];
      if (c == quote && peek(0) != quote) return {kind, text, {}, start};
      if (c == quote) ++at_;
      text += c;
    }
  }

  FilterToken number() {
    const std::size_t start = at_;
    if (peek(0) == '-' || peek(0) == '+') ++at_;
    take_while(is_digit);
    if (peek(0) == '.') ++at_, take_while(is_digit);
    if (peek(0) == 'e' || peek(0) == 'E') {
      ++at_;
      if (peek(0) == '-' || peek(0) == '+') ++at_;
    }
    take_while(is_name);  // what does not belong to a number is found below
    FilterToken token{Kind::number, std::string(filter_.substr(start, at_ - start)), {}, start};
    token.number = value_of(token);
    return token;
  }

  FilterNumber value_of(const FilterToken& token) const {
    // from_chars takes no plus.
    const char* begin = token.text.data() + (token.text[0] == '+');
    const char* end = token.text.data() + token.text.size();
    FilterNumber number;
    const auto whole = std::from_chars(begin, end, number.integer);
    number.whole = whole.ec == std::errc() && whole.ptr == end &&
                   number.integer > std::numeric_limits<std::int64_t>::min();
    if (!number.whole) number.integer = 0;
    const auto real = std::from_chars(begin, end, number.real);
    if (real.ec == std::errc::result_out_of_range)
      throw filter_error(filter_, token.at, "the number " + token.text + " is out of range");
    if (real.ec != std::errc() || real.ptr != end)
      throw filter_error(filter_, token.at, "'" + token.text + "' is no number");
    return number;
  }

  FilterToken symbol() {
    // Longer ones first.
    constexpr std::array<std::string_view, 10> kSymbols = {"!=", "<>", "<=", ">=", "=",
                                                           "<",  ">",  "(",  ")",  ","};
    for (const std::string_view symbol : kSymbols) {
      if (!filter_.substr(at_).starts_with(symbol)) continue;
      at_ += symbol.size();
      return {Kind::symbol, std::string(symbol), {}, at_ - symbol.size()};
    }
    const char* here = filter_.data() + at_;
    const std::size_t bytes = character_at(here, filter_.data() + filter_.size()).bytes;
    throw filter_error(filter_, at_,
                       fmt::format("'{}' means nothing here", filter_.substr(at_, bytes)),
                       "strings stand in single quotes");
  }

  std::string_view filter_;
  std::size_t at_ = 0, start_ = 0;
};

}  // namespace

std::vector<FilterToken> filter_tokens(std::string_view filter) {
  if (const std::size_t good = utf8_prefix(filter); good < filter.size())
    throw Error(ExitCode::data, fmt::format("byte {} is no UTF-8", good + 1), "the filter");
  Scanner scanner(filter);
  std::vector<FilterToken> tokens;
  do {
    tokens.push_back(scanner.next());
  } while (tokens.back().kind != Kind::end);
  return tokens;
}

std::string described(const FilterToken& token) {
  switch (token.kind) {
    case Kind::name:
    case Kind::symbol:
      return "'" + token.text + "'";
    case Kind::quoted_name:
      return "the name \"" + token.text + "\"";
    case Kind::text:
      return "the string '" + token.text + "'";
    case Kind::number:
      return "the number " + token.text;
    case Kind::end:
      break;
  }
  return "the end";
}

Error filter_error(std::string_view filter, std::size_t at, std::string problem,
                   std::string remedy) {
  // Characters, as a person counts them, not bytes.
  const auto characters =
      std::ranges::count_if(filter.substr(0, at), [](char c) { return (c & 0xC0) != 0x80; });
  return Error(ExitCode::data, std::move(problem),
               fmt::format("the filter, character {}", characters + 1), std::move(remedy));
}

}  // namespace tutti
