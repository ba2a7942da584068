// Cuts a document into passages that a model can take whole.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace tutti {

struct PassageOptions {
  std::int64_t tokens = 96;  // the most that a passage has; 0: a document is one passage, as it is
  std::int64_t per_document =
      0;  // passages after which the rest of a document is left out; 0: no limit
};

// Bytes [begin, end) of a document, without white space at either end (unless it is the whole
// document), and their tokens.
struct Passage {
  std::int64_t begin = 0, end = 0;
  std::vector<std::int32_t> tokens;
};

// Passages in the order of the text, each as long as fits and cut, in this order of preference,
// between paragraphs, sentences, lines or words, so short paragraphs come together; a word is cut
// only where it alone is too long. But for white space (and what the tokenizer's normalisation
// takes for nothing) they hold the whole text: nothing is lost and nothing comes twice. A function
// of its arguments alone. Local; thread-safe; memory: some megabytes beyond the result. `text` must
// be well-formed UTF-8.
std::vector<Passage> cut_passages(std::string_view text, const Tokenizer& tokenizer,
                                  const PassageOptions& options);

}  // namespace tutti
