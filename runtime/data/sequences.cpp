#include "runtime/data/sequences.h"

#include <algorithm>

namespace tutti {

void Sequences::add(std::span<const std::int32_t> sequence, std::int64_t longest) {
  const auto cut = sequence.first(std::min(sequence.size(), std::size_t(longest)));
  tokens.insert(tokens.end(), cut.begin(), cut.end());
  offsets.push_back(std::int32_t(tokens.size()));
}

void append_rows(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 std::int64_t longest, Sequences& sequences) {
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> tokens;
  dataset.read_ragged(column, rows.begin, rows.size(), offsets, tokens);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    sequences.add(std::span(tokens).subspan(std::size_t(offsets[i]),
                                            std::size_t(offsets[i + 1] - offsets[i])),
                  longest);
}

}  // namespace tutti
