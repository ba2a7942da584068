#include "runtime/data/bpe_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/data/byte_level.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr std::uint32_t kNoRank = ~0u, kEnd = ~0u;
constexpr std::size_t kShortWord =
    32;  // symbols up to which looking through all pairs is quicker than a queue

// For a heap with the lowest rank, then the leftmost pair, on top.
bool comes_later(const MergeCandidate& a, const MergeCandidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

BpeModel::BpeModel(const Vocabulary& vocabulary, const std::vector<BpeMerge>& merges,
                   const BpeOptions& options)
    : vocabulary_(vocabulary), options_(options) {
  for (int b = 0; b < 256; ++b) {
    std::string character;
    const bool is_single = options.byte_level || b < 0x80;
    append_utf8(
        options.byte_level ? byte_level_character(static_cast<unsigned char>(b)) : char32_t(b),
        character);
    byte_ids_[std::size_t(b)] = is_single ? vocabulary.model_id_of(character) : -1;
    fallback_[std::size_t(b)] =
        options.byte_fallback ? vocabulary.model_id_of(fmt::format("<0x{:02X}>", b)) : -1;
  }
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const BpeMerge& m = merges[rank];
    merges_[std::uint64_t(std::uint32_t(m.left)) << 32 | std::uint32_t(m.right)] = {
        std::uint32_t(rank), m.merged};
  }
  if (!options.ignore_merges) return;
  for (std::int32_t id = 0; id < vocabulary.model_pieces(); ++id) {
    if (!options.byte_level)
      words_.emplace(vocabulary.piece(id), id);
    else if (auto bytes = byte_level_bytes(vocabulary.piece(id)))
      words_.emplace(std::move(*bytes), id);
  }
}

void BpeModel::encode(std::string_view word, WordScratch& scratch) const {
  scratch.tokens.clear();
  if (options_.ignore_merges) {
    const auto it = words_.find(word);
    if (it != words_.end())
      return scratch.tokens.push_back({it->second, std::uint32_t(word.size())});
  }
  put_symbols(word, scratch.tokens);
  if (scratch.tokens.size() > 1)
    scratch.tokens.size() <= kShortWord ? merge_short(scratch) : merge_long(scratch);
}

void BpeModel::put_symbols(std::string_view word, std::vector<WordToken>& symbols) const {
  const char* const end = word.data() + word.size();
  bool follows_unknown = false;
  for (const char* p = word.data(); p < end;) {
    const std::size_t bytes = options_.byte_level ? 1 : character_at(p, end).bytes;
    const std::string_view character(p, bytes);
    std::int32_t id = byte_ids_[static_cast<unsigned char>(*p)];
    if (id < 0 && !options_.byte_level) id = vocabulary_.model_id_of(character);
    if (id >= 0)
      symbols.push_back({id, std::uint32_t(bytes)});
    else
      put_unknown(character, follows_unknown, symbols);
    follows_unknown = id < 0;
    p += bytes;
  }
}

void BpeModel::put_unknown(std::string_view character, bool follows_unknown,
                           std::vector<WordToken>& symbols) const {
  const auto fallback = [&](char c) { return fallback_[static_cast<unsigned char>(c)]; };
  if (std::all_of(character.begin(), character.end(), [&](char c) { return fallback(c) >= 0; })) {
    for (const char c : character) symbols.push_back({fallback(c), 1});
    return;
  }
  if (options_.unknown < 0) return;
  if (follows_unknown && options_.fuse_unknown && !symbols.empty() &&
      symbols.back().id == options_.unknown)
    symbols.back().bytes += std::uint32_t(character.size());
  else
    symbols.push_back({options_.unknown, std::uint32_t(character.size())});
}

void BpeModel::merge_short(WordScratch& scratch) const {
  std::vector<WordToken>& symbols = scratch.tokens;
  std::uint32_t ranks[kShortWord];
  std::int32_t merged[kShortWord];
  std::size_t count = symbols.size();
  const auto look_up = [&](std::size_t i) {  // the pair of symbols i and i + 1
    const Merge* merge = find(symbols[i].id, symbols[i + 1].id);
    ranks[i] = merge ? merge->rank : kNoRank;
    merged[i] = merge ? merge->merged : 0;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    const std::size_t best = std::size_t(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == kNoRank) break;
    symbols[best] = {merged[best], symbols[best].bytes + symbols[best + 1].bytes};
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  symbols.resize(count);
}

void BpeModel::push(WordScratch& scratch, std::uint32_t left, std::uint32_t right) const {
  const std::int32_t a = scratch.tokens[left].id, b = scratch.tokens[right].id;
  const Merge* merge = find(a, b);
  if (!merge) return;
  scratch.queue.push_back({merge->rank, left, a, b, merge->merged});
  std::push_heap(scratch.queue.begin(), scratch.queue.end(), comes_later);
}

void BpeModel::merge_long(WordScratch& scratch) const {
  std::vector<WordToken>& symbols = scratch.tokens;
  const auto count = std::uint32_t(symbols.size());
  auto &next = scratch.next, &previous = scratch.previous;
  next.resize(count);
  previous.resize(count);
  scratch.queue.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : kEnd;
    previous[i] = i > 0 ? i - 1 : kEnd;
  }
  for (std::uint32_t i = 0; i + 1 < count; ++i) push(scratch, i, i + 1);
  while (!scratch.queue.empty()) {
    std::pop_heap(scratch.queue.begin(), scratch.queue.end(), comes_later);
    const MergeCandidate top = scratch.queue.back();
    scratch.queue.pop_back();
    const std::uint32_t left = top.position, right = next[left];
    // What was in the queue may be merged since.
    if (symbols[left].bytes == 0 || right == kEnd || symbols[left].id != top.left ||
        symbols[right].id != top.right)
      continue;
    symbols[left] = {top.merged, symbols[left].bytes + symbols[right].bytes};
    symbols[right].bytes = 0;
    next[left] = next[right];
    if (next[left] != kEnd) previous[next[left]] = left;
    if (previous[left] != kEnd) push(scratch, previous[left], left);
    if (next[left] != kEnd) push(scratch, left, next[left]);
  }
  std::erase_if(symbols, [](const WordToken& symbol) { return symbol.bytes == 0; });
}

}  // namespace tutti
