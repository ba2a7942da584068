// Sentences that a tokenizer can learn from, a function of their number alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tutti::testing {

inline std::vector<std::string> example_sentences(int count) {
  static const char* words[] = {
      "the",    "node",   "rank",  "job",     "quick",   "waits", "reduces", "gathers", "a",
      "vector", "search", "index", "passage", "writes",  "reads", "shard",   "many",    "of",
      "after",  "before", "token", "batch",   "failure", "core",  "memory",  "disk",    "file"};
  std::vector<std::string> sentences;
  std::uint32_t state = 12345;
  for (int i = 0; i < count; ++i) {
    std::string sentence;
    for (int w = 0; w < 12; ++w) {
      state = state * 1664525u + 1013904223u;
      sentence += (w ? " " : "") + std::string(words[(state >> 16) % std::size(words)]);
    }
    sentences.push_back(sentence + ".");
  }
  return sentences;
}

}  // namespace tutti::testing
