#include "runtime/data/wordpiece_model.h"

#include <algorithm>

namespace tutti {
WordPieceModel::WordPieceModel(const Vocabulary& vocabulary, const WordPieceOptions& options)
    : options_(options) {
  for (std::int32_t id = 0; id < vocabulary.model_pieces(); ++id) {
    const std::string_view piece = vocabulary.piece(id);
    add(kBegin, piece, id);
    if (piece.starts_with(options.prefix)) add(kInside, piece.substr(options.prefix.size()), id);
  }
}

void WordPieceModel::add(std::uint32_t root, std::string_view piece, std::int32_t id) {
  if (piece.empty()) return;
  std::uint32_t node = root;
  Node* last = nullptr;
  for (const char byte : piece) {
    last = &edges_[edge(node, byte)];
    if (last->index == 0) last->index = nodes_++;
    node = last->index;
  }
  last->id = id;
}

void WordPieceModel::encode(std::string_view word, WordScratch& scratch) const {
  scratch.tokens.clear();
  const auto is_unknown = [&] {
    scratch.tokens.assign(1, {options_.unknown, std::uint32_t(word.size())});
  };
  if (word.size() > options_.longest) {
    const auto continues =
        std::count_if(word.begin(), word.end(), [](char c) { return (c & 0xC0) == 0x80; });
    if (word.size() - std::size_t(continues) > options_.longest) return is_unknown();
  }
  for (std::size_t begin = 0; begin < word.size();) {
    std::uint32_t node = begin == 0 ? kBegin : kInside;
    WordToken longest;
    for (std::size_t i = begin; i < word.size(); ++i) {
      const Node* next = edges_.find(edge(node, word[i]));
      if (!next) break;
      if (next->id >= 0) longest = {next->id, std::uint32_t(i + 1 - begin)};
      node = next->index;
    }
    if (longest.bytes == 0) return is_unknown();
    scratch.tokens.push_back(longest);
    begin += longest.bytes;
  }
}

}  // namespace tutti
