// The pre-tokenizers of a tokenizer.json: where text is cut into words, which models never look
// across.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace tutti {

// Ways of cutting. The three patterns are scanned by hand, and cut where the regular expressions in
// word_splitter.cpp do.
enum class WordSplit {
  gpt2,
  llama3,
  qwen2,
  words,           // Whitespace: \w+|[^\w\s]+
  white_space,     // WhitespaceSplit: at it
  bert,            // at white space, and around each punctuation character
  punctuation,     // around each
  digits,          // around each
  digit_runs,      // around each run
  before_mark,     // before each U+2581, which stands for a space
  before_mark_run  // before each run of it
};

// The split that a regular expression stands for.
std::optional<WordSplit> find_pattern(std::string_view expression);

// Takes a word off the front of `rest`, which must not be empty. False where what was taken is no
// word but lies between two.
bool next_word(WordSplit split, std::string_view& rest, std::string_view& word);

// Cuts `text` by the first split, each word by the second and so on, and calls `work(word)` for
// each at the end.
template <class Work>
void each_word(std::span<const WordSplit> splits, std::string_view text, Work& work) {
  if (splits.empty()) return work(text);
  for (std::string_view word; !text.empty();)
    if (next_word(splits.front(), text, word)) each_word(splits.subspan(1), word, work);
}

}  // namespace tutti
