// The added tokens of a tokenizer.json: found in a text before anything is cut into words.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/flat_table.h"
#include "runtime/data/mapped_text.h"

namespace tutti {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;                 // left out when decoding
  bool normalized = false;              // looked for in the normalised text
  bool single_word = false;             // only where no part of a word is at either side
  bool lstrip = false, rstrip = false;  // takes white space at that side with it
};

// Finds some tokens in text; where several begin at one place, the longest. Immutable; threads may
// share one.
class AddedTokenFinder {
 public:
  // `patterns[i]`, which is not empty, is what to look for in the place of `tokens[i].content`.
  AddedTokenFinder(std::vector<AddedToken> tokens, const std::vector<std::string>& patterns);
  bool empty() const { return tokens_.empty(); }

  // Calls `work(part, id)` for each part in turn: a token found, or what is between two, with id
  // -1. The parts are not empty.
  template <class Work>
  void split(const MappedView& text, Work&& work) const {
    std::size_t done = 0;
    for (Match match; !tokens_.empty() && find(text.text, match);) {
      if (!accept(text.text, done, match)) continue;
      if (done < match.begin) work(text.part(done, match.begin), -1);
      work(text.part(match.begin, match.taken), match.token->id);
      done = match.taken;
    }
    if (done < text.text.size()) work(text.part(done, text.text.size()), -1);
  }

 private:
  struct Match {
    const AddedToken* token = nullptr;
    std::size_t begin = 0, end = 0, taken = 0;  // taken: with the white space behind
  };
  struct Node {
    std::uint32_t index = 0;
    std::int32_t token = -1;  // an index into tokens_
  };

  bool find(std::string_view text, Match& match) const;
  bool accept(std::string_view text, std::size_t done, Match& match) const;

  std::vector<AddedToken> tokens_;
  FlatTable<Node> edges_;           // patterns by their bytes
  std::array<bool, 256> begins_{};  // whether a pattern starts with the byte
  int only_ = -1;                   // the one byte that all start with
};

}  // namespace tutti
