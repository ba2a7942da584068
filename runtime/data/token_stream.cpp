#include "runtime/data/token_stream.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/documents.h"

namespace tutti {

TokenStream::TokenStream(const Dataset& dataset, TokenStreamOptions options)
    : LanguageData(options.seed),
      dataset_(dataset),
      options_(options),
      column_(dataset.column("passages", "tokens")) {
  check_separator(dataset, options.separator);
  index_documents();
  const std::int64_t sequences = sequences_in(tokens(), options.length);
  if (sequences < 1)
    throw Error(ExitCode::data,
                fmt::format("the {} documents have {} tokens, which is less than one sequence of "
                            "{} and what follows it",
                            options.split == kTrainSplit ? "training" : "held-out", tokens(),
                            options.length),
                dataset.folder().string(), "shard more documents, or train on shorter sequences");
  set_sequences(sequences);
}

void TokenStream::index_documents() {
  const auto text = dataset_.column("passages", "text");
  starts_.assign(1, 0);
  for (std::int64_t shard = 0; shard < dataset_.manifest().shards(); ++shard) {
    const Range passages = dataset_.shard_rows("passages", shard);
    std::vector<std::int64_t> offsets, text_offsets;
    dataset_.read_offsets(column_, passages.begin, passages.size(), offsets);
    dataset_.read_offsets(text, passages.begin, passages.size(), text_offsets);
    for (const DocumentPlace& place : documents_of(dataset_, shard, options_.split)) {
      const auto first = std::size_t(place.passages.begin - passages.begin),
                 end = std::size_t(place.passages.end - passages.begin);
      passages_.push_back(place.passages);
      starts_.push_back(starts_.back() + 1 + offsets[end] - offsets[first]);
      text_bytes_ += text_offsets[end] - text_offsets[first];
    }
  }
}

void TokenStream::append(std::int64_t number, LanguageBatch& batch) const {
  std::vector<std::int64_t> documents;
  const std::int64_t begin = number * options_.length;
  const std::vector<std::int32_t> tokens = read(begin, begin + options_.length + 1, documents);
  std::int64_t from = 0;
  documents.push_back(options_.length);
  for (const std::int64_t to : documents) {
    if (to > options_.length || to <= from) continue;
    batch.sequences.add(std::span(tokens).subspan(std::size_t(from), std::size_t(to - from)),
                        options_.length);
    from = to;
  }
  batch.targets.insert(batch.targets.end(), tokens.begin() + 1, tokens.end());
}

std::vector<std::int32_t> TokenStream::read(std::int64_t begin, std::int64_t end,
                                            std::vector<std::int64_t>& documents) const {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> values;
  std::size_t document =
      std::size_t(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin()) - 1;
  for (; std::int64_t(tokens.size()) < end - begin; ++document) {
    const std::int64_t start = starts_[document];
    if (start >= begin) {
      documents.push_back(start - begin);
      tokens.push_back(options_.separator);
    }
    read_tokens(dataset_, column_, passages_[document], offsets, values);
    const std::int64_t skipped = std::max<std::int64_t>(0, begin - start - 1);
    const std::int64_t wanted =
        std::min<std::int64_t>(std::ssize(values) - skipped, end - begin - std::ssize(tokens));
    tokens.insert(tokens.end(), values.begin() + skipped, values.begin() + skipped + wanted);
  }
  return tokens;
}

}  // namespace tutti
