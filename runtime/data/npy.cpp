#include "runtime/data/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>
#include <string_view>

#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::int64_t kLongestHeader = 1 << 20;

// The Python dictionary literal of the header, such as
// {'descr': '<f4', 'fortran_order': False, 'shape': (100, 8), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& place) : text_(text), place_(place) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header_.descr = quoted();
      } else if (key == "fortran_order") {
        header_.fortran_order = boolean();
      } else if (key == "shape") {
        header_.shape = tuple();
      } else {
        wrong("unknown key '" + key + "'");
      }
      seen_ += 1;
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (seen_ != 3 || header_.descr.empty())
      wrong("expected the keys descr, fortran_order and shape");
    return header_;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    throw Error(ExitCode::data, "malformed npy header: " + what, place_);
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) wrong(std::string("expected '") + c + "' at byte " + std::to_string(at_));
  }
  std::string quoted() {
    skip_space();
    if (accept('['))
      wrong("structured types are not supported; expected one plain type such as '<f4'");
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const std::size_t end =
        quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string_view::npos;
    if (end == std::string_view::npos)
      wrong("expected a quoted string at byte " + std::to_string(at_));
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    wrong("expected True or False at byte " + std::to_string(at_));
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t value = -1;
      const char* begin = text_.data() + std::min(at_, text_.size());
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
      if (error != std::errc() || value < 0)
        wrong("expected an extent at byte " + std::to_string(at_));
      at_ += std::size_t(end - begin);
      accept('L');  // as Python 2 wrote them
      values.push_back(value);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }

  std::string_view text_;
  const std::string& place_;
  std::size_t at_ = 0;
  int seen_ = 0;
  NpyHeader header_;
};

}  // namespace

NpyHeader read_npy_header(const File& file) {
  const std::string place = file.path().string();
  const std::int64_t size = file.size();
  unsigned char start[12] = {};
  file.read_at(
      std::as_writable_bytes(std::span(start)).first(std::size_t(std::min<std::int64_t>(size, 12))),
      0);
  if (size < 10 || std::memcmp(start, kMagic.data(), kMagic.size()) != 0)
    throw Error(ExitCode::data, "not an npy file: it does not start with \\x93NUMPY", place);
  const int version = start[6];
  if (version < 1 || version > 3)
    throw Error(ExitCode::data, "npy version " + std::to_string(version) + "; expected 1, 2 or 3",
                place);
  const std::int64_t prefix = version == 1 ? 10 : 12;
  std::int64_t length = start[8] | start[9] << 8;
  if (version > 1) length |= std::int64_t(start[10]) << 16 | std::int64_t(start[11]) << 24;
  if (length > kLongestHeader || prefix + length > size)
    throw Error(ExitCode::data,
                "the npy header claims " + std::to_string(length) + " bytes; the file has " +
                    std::to_string(size),
                place);
  std::string text(std::size_t(length), '\0');
  file.read_at(std::as_writable_bytes(std::span(text)), prefix);
  NpyHeader header = HeaderParser(text, place).parse();
  header.data_offset = prefix + length;
  return header;
}

}  // namespace tutti
