#include "runtime/data/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "runtime/data/unicode_classes.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

std::uint16_t class_at(std::string_view text, std::size_t i) {
  return UnicodeTable::instance()[character_at(text.data() + i, text.data() + text.size()).code];
}

std::size_t previous_character(std::string_view text, std::size_t i) {
  return utf8_floor(text, i - 1);
}

std::uint64_t edge(std::uint32_t node, char byte) {
  return std::uint64_t(node) << 8 | static_cast<unsigned char>(byte);
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens,
                                   const std::vector<std::string>& patterns)
    : tokens_(std::move(tokens)) {
  std::uint32_t nodes = 1;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    std::uint32_t node = 0;
    Node* last = nullptr;
    for (const char byte : patterns[i]) {
      last = &edges_[edge(node, byte)];
      if (last->index == 0) last->index = nodes++;
      node = last->index;
    }
    if (last->token < 0) last->token = std::int32_t(i);  // of two patterns alike the first counts
    begins_[static_cast<unsigned char>(patterns[i][0])] = true;
  }
  if (std::count(begins_.begin(), begins_.end(), true) == 1)
    only_ = int(std::find(begins_.begin(), begins_.end(), true) - begins_.begin());
}

// The first match from `match.end` on.
bool AddedTokenFinder::find(std::string_view text, Match& match) const {
  for (std::size_t i = match.end; i < text.size(); ++i) {
    if (only_ >= 0) {
      const void* found = std::memchr(text.data() + i, only_, text.size() - i);
      if (!found) return false;
      i = std::size_t(static_cast<const char*>(found) - text.data());
    } else if (!begins_[static_cast<unsigned char>(text[i])]) {
      continue;
    }
    match.token = nullptr;
    const Node* node = nullptr;
    for (std::size_t k = i;
         k < text.size() && (node = edges_.find(edge(node ? node->index : 0, text[k]))); ++k)
      if (node->token >= 0) match = {&tokens_[std::size_t(node->token)], i, k + 1, k + 1};
    if (match.token) return true;
  }
  return false;
}

// Whether the token may be there; moves the ends of the match over white space.
bool AddedTokenFinder::accept(std::string_view text, std::size_t done, Match& match) const {
  const AddedToken& token = *match.token;
  if (token.single_word) {
    if (match.begin > 0 && (class_at(text, previous_character(text, match.begin)) & kWordCharacter))
      return false;
    if (match.end < text.size() && (class_at(text, match.end) & kWordCharacter)) return false;
  }
  while (token.lstrip && match.begin > done) {
    const std::size_t before = previous_character(text, match.begin);
    if (!(class_at(text, before) & kWhiteSpace)) break;
    match.begin = before;
  }
  // White space that the token before took belongs to it.
  match.begin = std::max(match.begin, std::min(done, match.end));
  while (token.rstrip && match.taken < text.size() && (class_at(text, match.taken) & kWhiteSpace))
    match.taken += character_at(text.data() + match.taken, text.data() + text.size()).bytes;
  match.taken = std::max(match.taken, done);
  return true;
}

}  // namespace tutti
