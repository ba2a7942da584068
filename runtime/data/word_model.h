// What turns a word into tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace tutti {

// A token of a word, and how many of the word's bytes it stands for.
struct WordToken {
  std::int32_t id = 0;
  std::uint32_t bytes = 0;
};

// A pair of neighbours that may be merged, in the queue of a long word.
struct MergeCandidate {
  std::uint32_t rank = 0, position = 0;
  std::int32_t left = 0, right = 0, merged = 0;
};

// Memory of one thread, kept from word to word.
struct WordScratch {
  std::vector<WordToken> tokens;
  // Of a long word: the neighbours of each symbol, and the pairs that may be merged.
  std::vector<std::uint32_t> next, previous;
  std::vector<MergeCandidate> queue;
};

// Immutable; threads may share one, each with a scratch of its own.
class WordModel {
 public:
  virtual ~WordModel() = default;
  // Leaves the tokens of `word`, which is not empty, in `scratch.tokens`.
  virtual void encode(std::string_view word, WordScratch& scratch) const = 0;
};

}  // namespace tutti
