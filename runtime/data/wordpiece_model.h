// The "WordPiece" model of a tokenizer.json: always the longest piece that fits.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/data/flat_table.h"
#include "runtime/data/vocabulary.h"
#include "runtime/data/word_model.h"

namespace tutti {

struct WordPieceOptions {
  std::int32_t unknown = 0;   // the token of a word that no pieces make up
  std::string prefix;         // of a piece that goes on with a word
  std::size_t longest = 100;  // characters of a word; longer ones are unknown
};

class WordPieceModel : public WordModel {
 public:
  WordPieceModel(const Vocabulary& vocabulary, const WordPieceOptions& options);
  void encode(std::string_view word, WordScratch& scratch) const override;

 private:
  // Pieces by their bytes: a tree, whose edges stand in a table.
  struct Node {
    std::uint32_t index = 0;
    std::int32_t id = -1;
  };
  static constexpr std::uint32_t kBegin = 0, kInside = 1;  // the roots
  static std::uint64_t edge(std::uint32_t node, char byte) {
    return std::uint64_t(node) << 8 | static_cast<unsigned char>(byte);
  }
  void add(std::uint32_t root, std::string_view piece, std::int32_t id);

  const WordPieceOptions options_;
  FlatTable<Node> edges_;
  std::uint32_t nodes_ = 2;
};

}  // namespace tutti
