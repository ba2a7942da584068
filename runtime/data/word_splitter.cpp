#include "runtime/data/word_splitter.h"

#include <utility>

#include "runtime/data/unicode_classes.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr std::pair<std::string_view, WordSplit> kPatterns[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     WordSplit::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
     R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     WordSplit::llama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
     R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     WordSplit::qwen2},
};
constexpr char32_t kMark = 0x2581;

// A place in a text, and the class of the character there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {
    look();
  }

  bool done() const { return at_ == end_; }
  char32_t code() const { return now_.code; }
  bool is(std::uint16_t bits) const { return bits_ & bits; }
  bool is_other() const { return !done() && !is(kLetter | kNumber | kWhiteSpace); }
  bool is_newline() const { return !done() && (code() == '\r' || code() == '\n'); }
  const char* at() const { return at_; }

  void step() {
    at_ += now_.bytes;
    look();
  }
  // At most `most` characters that have one of the bits; how many there were.
  int skip(std::uint16_t bits, int most = 1 << 30) {
    int count = 0;
    for (; count < most && is(bits); ++count) step();
    return count;
  }
  void skip_others() {
    while (is_other()) step();
  }

 private:
  void look() {
    if (at_ == end_) {
      bits_ = 0;
      return;
    }
    now_ = character_at(at_, end_);
    bits_ = table_[now_.code];
  }

  const UnicodeTable& table_ = UnicodeTable::instance();
  const char *at_, *end_;
  Character now_;
  std::uint16_t bits_ = 0;  // none at the end
};

// Bytes of 's, 't, 're, 've, 'm, 'll or 'd at the front; 0 where there is none.
std::size_t contraction_bytes(std::string_view text, bool any_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const auto letter = [&](std::size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  };
  const char first = letter(1), second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  return any_case && text.substr(1).starts_with("\xC5\xBF") ? 3 : 0;  // the long s folds to s
}

// \s+(?!\S)|\s+ where `scan` is at white space: the run, without its last character where a word
// follows.
const char* white_space_end(Scanner& scan) {
  const char* last = scan.at();
  while (scan.is(kWhiteSpace)) {
    last = scan.at();
    scan.step();
  }
  return scan.done() ? scan.at() : last;
}

std::size_t gpt2_word(std::string_view text) {
  if (const std::size_t bytes = contraction_bytes(text, false)) return bytes;
  Scanner scan(text);
  if (text[0] == ' ') scan.step();
  if (scan.skip(kLetter) == 0 && scan.skip(kNumber) == 0) {
    if (scan.is_other()) {
      scan.skip_others();
    } else {
      Scanner space(text);
      const char* const end = white_space_end(space);
      return end == text.data() ? std::size_t(space.at() - end) : std::size_t(end - text.data());
    }
  }
  return std::size_t(scan.at() - text.data());
}

// White space for the newer patterns: up to the last line break of the run, else as for GPT-2.
std::size_t white_space_word(std::string_view text) {
  const char *after_newline = nullptr, *last = text.data();
  Scanner scan(text);
  while (scan.is(kWhiteSpace)) {
    const bool is_newline = scan.is_newline();
    last = scan.at();
    scan.step();
    if (is_newline) after_newline = scan.at();
  }
  const char* end = after_newline                        ? after_newline
                    : scan.done() || last == text.data() ? scan.at()
                                                         : last;
  return std::size_t(end - text.data());
}

std::size_t llama3_word(std::string_view text, int digits) {
  if (const std::size_t bytes = contraction_bytes(text, true)) return bytes;
  Scanner scan(text);
  if (scan.skip(kLetter) == 0 && scan.skip(kNumber, digits) == 0) {
    const bool is_space = scan.code() == ' ', is_white_space = scan.is(kWhiteSpace),
               is_newline = scan.is_newline();
    scan.step();
    if (is_newline || scan.skip(kLetter) == 0) {
      if (is_white_space && !(is_space && scan.is_other())) return white_space_word(text);
      scan.skip_others();
      while (scan.is_newline()) scan.step();
    }
  }
  return std::size_t(scan.at() - text.data());
}

// Where a run of characters of one kind ends: those with one of the bits, or those with none of
// them.
std::size_t run_of(std::string_view text, std::uint16_t bits) {
  Scanner scan(text);
  const bool has = scan.is(bits);
  while (!scan.done() && scan.is(bits) == has) scan.step();
  return std::size_t(scan.at() - text.data());
}

std::size_t marked_word(std::string_view text, bool keep_runs) {
  Scanner scan(text);
  bool was_mark = scan.code() == kMark;
  scan.step();
  while (!scan.done() && !(scan.code() == kMark && !(keep_runs && was_mark))) {
    was_mark = scan.code() == kMark;
    scan.step();
  }
  return std::size_t(scan.at() - text.data());
}

struct Taken {
  std::size_t bytes = 0;
  bool is_word = true;
};

Taken take(WordSplit split, std::string_view text) {
  const Character c = character_at(text.data(), text.data() + text.size());
  const std::uint16_t bits = UnicodeTable::instance()[c.code];
  switch (split) {
    case WordSplit::gpt2:
      return {gpt2_word(text)};
    case WordSplit::llama3:
      return {llama3_word(text, 3)};
    case WordSplit::qwen2:
      return {llama3_word(text, 1)};
    case WordSplit::before_mark:
      return {marked_word(text, false)};
    case WordSplit::before_mark_run:
      return {marked_word(text, true)};
    case WordSplit::digits:
      return {bits & kNumber ? c.bytes : run_of(text, kNumber)};
    case WordSplit::digit_runs:
      return {run_of(text, kNumber)};
    case WordSplit::punctuation:
      return {bits & kBertPunctuation ? c.bytes : run_of(text, kBertPunctuation)};
    default:
      break;
  }
  if (bits & kWhiteSpace) return {run_of(text, kWhiteSpace), false};
  if (split == WordSplit::white_space) return {run_of(text, kWhiteSpace)};
  if (split == WordSplit::bert)
    return {bits & kBertPunctuation ? c.bytes : run_of(text, kWhiteSpace | kBertPunctuation)};
  return {bits & kWordCharacter ? run_of(text, kWordCharacter)
                                : run_of(text, kWhiteSpace | kWordCharacter)};
}

}  // namespace

std::optional<WordSplit> find_pattern(std::string_view expression) {
  for (const auto& [pattern, split] : kPatterns)
    if (pattern == expression) return split;
  return std::nullopt;
}

bool next_word(WordSplit split, std::string_view& rest, std::string_view& word) {
  const Taken taken = take(split, rest);
  word = rest.substr(0, taken.bytes);
  rest.remove_prefix(taken.bytes);
  return taken.is_word;
}

}  // namespace tutti
