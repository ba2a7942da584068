#include "runtime/data/sequences.h"

#include <algorithm>

namespace tutti {

void Sequences::add(std::span<const std::int32_t> sequence, std::int64_t longest) {
  add(sequence, TextForm{longest, {}});
}

void Sequences::add(std::span<const std::int32_t> text, const TextForm& form) {
  const auto cut = text.first(std::min(text.size(), std::size_t(form.room())));
  for (const std::span<const std::int32_t> part :
       {std::span(form.frame.front), cut, std::span(form.frame.back)})
    tokens.insert(tokens.end(), part.begin(), part.end());
  offsets.push_back(std::int32_t(tokens.size()));
}

void append_rows(const Dataset& dataset, const Dataset::Column& column, Range rows,
                 const TextForm& form, Sequences& sequences) {
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> tokens;
  dataset.read_ragged(column, rows.begin, rows.size(), offsets, tokens);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    sequences.add(std::span(tokens).subspan(std::size_t(offsets[i]),
                                            std::size_t(offsets[i + 1] - offsets[i])),
                  form);
}

}  // namespace tutti
