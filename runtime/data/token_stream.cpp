#include "runtime/data/token_stream.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace tutti {

TokenStream::TokenStream(const Dataset& dataset, TokenStreamOptions options)
    : dataset_(dataset),
      options_(options),
      column_(dataset.column("passages", "tokens")),
      sampler_(1, options.seed) {
  index_documents();
  const std::int64_t sequences = sequences_in(tokens(), options.length);
  if (sequences < 1)
    throw Error(ExitCode::data,
                fmt::format("the {} documents have {} tokens, which is less than one sequence of "
                            "{} and what follows it",
                            options.split == kTrainSplit ? "training" : "held-out", tokens(),
                            options.length),
                dataset.folder().string(), "shard more documents, or train on shorter sequences");
  sampler_ = Sampler(sequences, options.seed);
}

void TokenStream::index_documents() {
  const auto split = dataset_.column("documents", "split"),
             first = dataset_.column("documents", "first_passage"),
             count = dataset_.column("documents", "passages"),
             text = dataset_.column("passages", "text");
  starts_.assign(1, 0);
  for (std::int64_t shard = 0; shard < dataset_.manifest().shards(); ++shard) {
    const Range rows = dataset_.shard_rows("documents", shard),
                passages = dataset_.shard_rows("passages", shard);
    const std::size_t n = std::size_t(rows.size());
    std::vector<std::uint8_t> splits(n);
    std::vector<std::int32_t> counts(n);
    std::vector<std::int64_t> firsts(n), offsets, text_offsets;
    dataset_.read(split, rows.begin, rows.size(), std::span(splits));
    dataset_.read(first, rows.begin, rows.size(), std::span(firsts));
    dataset_.read(count, rows.begin, rows.size(), std::span(counts));
    dataset_.read_offsets(column_, passages.begin, passages.size(), offsets);
    dataset_.read_offsets(text, passages.begin, passages.size(), text_offsets);
    for (std::size_t i = 0; i < n; ++i) {
      if (splits[i] != options_.split || counts[i] == 0) continue;
      passages_.push_back({passages.begin + firsts[i], counts[i]});
      const std::int64_t length =
          offsets[std::size_t(firsts[i] + counts[i])] - offsets[std::size_t(firsts[i])];
      starts_.push_back(starts_.back() + 1 + length);
      text_bytes_ +=
          text_offsets[std::size_t(firsts[i] + counts[i])] - text_offsets[std::size_t(firsts[i])];
    }
  }
}

std::vector<std::int64_t> TokenStream::numbers(std::int64_t step, std::int64_t batch,
                                               Range samples) const {
  const BatchPlace place = batch_place(step, batch, sequences());
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = samples.begin; i < samples.end; ++i)
    numbers.push_back(sampler_.at(place.epoch, place.first_position + i));
  return numbers;
}

LanguageBatch TokenStream::load(std::int64_t step, std::int64_t batch, Range samples) const {
  LanguageBatch result;
  for (const std::int64_t number : numbers(step, batch, samples)) append(number, result);
  return result;
}

LanguageBatch TokenStream::load_in_order(Range numbers) const {
  LanguageBatch result;
  for (std::int64_t number = numbers.begin; number < numbers.end; ++number) append(number, result);
  return result;
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
    dataset_.read_ragged(column_, passages_[document].first, passages_[document].count, offsets,
                         values);
    const std::int64_t skipped = std::max<std::int64_t>(0, begin - start - 1);
    const std::int64_t wanted =
        std::min<std::int64_t>(std::ssize(values) - skipped, end - begin - std::ssize(tokens));
    tokens.insert(tokens.end(), values.begin() + skipped, values.begin() + skipped + wanted);
  }
  return tokens;
}

}  // namespace tutti
