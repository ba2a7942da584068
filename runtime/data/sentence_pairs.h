// Pairs of sentences and how alike people found them, as benchmarks of semantic similarity have
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

struct SentencePair {
  std::string first, second;
  double score = 0;
};

// The columns of a table whose fields stand between tabs.
struct PairColumns {
  std::size_t first = 0, second = 1, score = 2;
};

// Takes a pair out of a line: a JSON object with the texts "sentence1" and "sentence2" and the
// number "score", or a line of a table. Returns what is wrong, naming the field, or nothing.
std::optional<std::string> parse_json_pair(std::string_view line, SentencePair& pair);
std::optional<std::string> parse_table_pair(std::string_view line, const PairColumns& columns,
                                            SentencePair& pair);
// The columns that a table's first line names sentence1, sentence2 and score; nothing where it does
// not, and so is a pair itself.
std::optional<PairColumns> parse_pair_header(std::string_view line);

// The pairs of a file, in order, and where each one stands for messages: JSON lines where the
// file's name ends in .jsonl or .ndjson, else a table. Local. Throws Error(usage) where there is no
// such file, Error(data) naming the line for a bad one, or where there are fewer than two.
struct PlacedPair : SentencePair {
  std::string place;
};
std::vector<PlacedPair> read_sentence_pairs(const std::filesystem::path& file);

}  // namespace tutti
