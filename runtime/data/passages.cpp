#include "runtime/data/passages.h"

#include <algorithm>
#include <optional>

#include "runtime/base/check.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";
// Text is worked on a section at a time, which bounds memory; no passage goes over from one to the
// next.
constexpr std::size_t kSectionBytes = 256 << 10;
// What is encoded at once: byte-pair models slow down on long texts.
constexpr std::size_t kEncodeBytes = 4 << 10;

// How good a place is to cut before a token.
enum Cut : std::uint8_t { kNever, kWithinWord, kWord, kLine, kSentence, kParagraph };

// Where to end a piece of at most `limit` bytes: behind a paragraph, a line or a word of its second
// half, or before a character.
std::size_t piece_end(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text.size();
  for (const std::string_view end : {"\n\n", "\n", " "}) {
    const std::size_t found = text.rfind(end, limit - end.size());
    if (found != std::string_view::npos && found >= limit / 2) return found + end.size();
  }
  return std::max<std::size_t>(1, utf8_floor(text, limit));
}

bool ends_sentence(std::string_view before) {
  for (const std::string_view stop : {"。", "！", "？"})
    if (before.ends_with(stop)) return true;
  while (!before.empty() && std::string_view(")\"']").find(before.back()) != std::string_view::npos)
    before.remove_suffix(1);
  return !before.empty() && std::string_view(".!?:;").find(before.back()) != std::string_view::npos;
}

// The place before byte `begin` of `text`, which is no white space.
Cut cut_before(std::string_view text, std::size_t begin) {
  const std::size_t last =
      begin == 0 ? std::string_view::npos : text.find_last_not_of(kSpace, begin - 1);
  const std::size_t end = last == std::string_view::npos ? 0 : last + 1;
  const std::string_view gap = text.substr(end, begin - end), before = text.substr(0, end);
  const auto newlines = std::count(gap.begin(), gap.end(), '\n');
  if (newlines > 1) return kParagraph;
  if (ends_sentence(before) && (!gap.empty() || static_cast<unsigned char>(before.back()) >= 0x80))
    return kSentence;
  if (newlines == 1) return kLine;
  return gap.empty() ? kWithinWord : kWord;
}

class SectionCutter {
 public:
  SectionCutter(std::string_view section, std::int64_t origin, const Tokenizer& tokenizer)
      : section_(section), origin_(origin) {
    std::string_view rest = section;
    while (!rest.empty()) {
      std::size_t end = rest.find("\n\n");
      end = end == std::string_view::npos ? rest.size() : end + 2;
      if (end > kEncodeBytes) end = piece_end(rest, kEncodeBytes);
      tokenizer.encode(rest.substr(0, end), std::int64_t(section.size() - rest.size()), tokens_);
      rest.remove_prefix(end);
    }
    classify();
  }

  void cut(const PassageOptions& options, std::vector<Passage>& passages) const {
    std::size_t first = 0;
    while (first < tokens_.size() && !full(options, passages)) {
      const std::size_t next = next_cut(first, std::size_t(options.tokens));
      add(first, next, std::size_t(options.tokens), passages);
      first = next;
    }
  }

  static bool full(const PassageOptions& options, const std::vector<Passage>& passages) {
    return options.per_document > 0 && std::int64_t(passages.size()) >= options.per_document;
  }

 private:
  // Moves each token's beginning behind the white space, and finds what kind of place is before it.
  // Only the first of the tokens that then begin together may be cut at.
  void classify() {
    cuts_.resize(tokens_.size(), kNever);
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const std::size_t begin = section_.find_first_not_of(kSpace, std::size_t(tokens_[i].begin));
      tokens_[i].begin = std::int64_t(std::min(begin, section_.size()));
      if (begin == std::string_view::npos || (i > 0 && tokens_[i].begin <= tokens_[i - 1].begin))
        continue;
      cuts_[i] = cut_before(section_, begin);
    }
  }

  // The token that begins the passage after the one that begins with `first`.
  std::size_t next_cut(std::size_t first, std::size_t limit) const {
    const std::size_t end = tokens_.size();
    if (end - first <= limit) return end;
    // A better place is worth up to half of a passage; between words the place hardly matters.
    for (const Cut wanted : {kParagraph, kSentence, kLine})
      if (const auto found = last_cut(first + (limit + 1) / 2, first + limit, wanted))
        return *found;
    for (const Cut wanted : {kWord, kWithinWord})
      if (const auto found = last_cut(first + 1, first + limit, wanted)) return *found;
    // One character has more tokens than a passage.
    std::size_t next = first + limit;
    while (next < end && cuts_[next] == kNever) ++next;
    return next;
  }

  std::optional<std::size_t> last_cut(std::size_t begin, std::size_t last, Cut wanted) const {
    for (std::size_t i = last; i >= begin; --i)
      if (cuts_[i] >= wanted) return i;
    return std::nullopt;
  }

  void add(std::size_t first, std::size_t next, std::size_t limit,
           std::vector<Passage>& passages) const {
    // What stands before the first token is no token of its own, but text nevertheless.
    const std::size_t begin =
        first == 0 ? section_.find_first_not_of(kSpace) : std::size_t(tokens_[first].begin);
    std::size_t end = next < tokens_.size() ? std::size_t(tokens_[next].begin) : section_.size();
    if (begin >= end) return;
    end = section_.find_last_not_of(kSpace, end - 1) + 1;
    Passage passage{origin_ + std::int64_t(begin), origin_ + std::int64_t(end), {}};
    for (std::size_t i = first; i < std::min(next, first + limit); ++i)
      passage.tokens.push_back(tokens_[i].id);
    passages.push_back(std::move(passage));
  }

  std::string_view section_;
  std::int64_t origin_;
  std::vector<Token> tokens_;
  std::vector<Cut> cuts_;  // one a token
};

// The whole text, encoded at once: language models are to see the white space, too.
std::vector<Passage> whole_passage(std::string_view text, const Tokenizer& tokenizer) {
  Passage passage{0, std::int64_t(text.size()), tokenizer.encode(text)};
  if (passage.tokens.empty()) return {};
  return {std::move(passage)};
}

}  // namespace

std::vector<Passage> cut_passages(std::string_view text, const Tokenizer& tokenizer,
                                  const PassageOptions& options) {
  if (options.tokens == 0) return whole_passage(text, tokenizer);
  CHECK(options.tokens >= 1 && options.per_document >= 0);
  std::vector<Passage> passages;
  std::size_t begin = 0;
  while (begin < text.size() && !SectionCutter::full(options, passages)) {
    const std::size_t bytes = piece_end(text.substr(begin), kSectionBytes);
    SectionCutter(text.substr(begin, bytes), std::int64_t(begin), tokenizer).cut(options, passages);
    begin += bytes;
  }
  return passages;
}

}  // namespace tutti
