#include "runtime/data/packed_examples.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/documents.h"
#include "runtime/data/text_sharder.h"

namespace tutti {
namespace {

// Whether these are ranges as EncodedExample has them, of so many tokens.
bool are_ranges(std::span<const std::int32_t> predicted, std::int64_t tokens) {
  if (predicted.empty() || predicted.size() % 2) return false;
  std::int32_t last = 0;
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    const bool may_touch = i > 0 && i % 2 == 0;
    if (predicted[i] < last + !may_touch) return false;
    last = predicted[i];
  }
  return last <= tokens;
}

}  // namespace

bool has_examples(const Dataset& dataset) {
  const TableEntry* passages = dataset.manifest().find_table("passages");
  return passages && passages->schema.find(kPredictedColumn) >= 0;
}

PackedExamples::PackedExamples(const Dataset& dataset, PackedExamplesOptions options)
    : LanguageData(options.seed),
      dataset_(dataset),
      options_(options),
      tokens_(dataset.column("passages", "tokens")),
      predicted_(dataset.column("passages", kPredictedColumn)) {
  index_examples();
  if (examples_.empty())
    throw Error(
        ExitCode::data,
        fmt::format("there is nothing to predict in the first {1} tokens of any {0} example",
                    options.split == kTrainSplit ? "training" : "held-out", options.length),
        dataset.folder().string(), "shard more examples, or train on longer sequences");
  pack();
}

void PackedExamples::index_examples() {
  for (std::int64_t shard = 0; shard < dataset_.manifest().shards(); ++shard) {
    const Range passages = dataset_.shard_rows("passages", shard);
    std::vector<std::int64_t> offsets, range_offsets;
    std::vector<std::int32_t> ranges;
    dataset_.read_offsets(tokens_, passages.begin, passages.size(), offsets);
    dataset_.read_ragged(predicted_, passages.begin, passages.size(), range_offsets, ranges);
    for (const DocumentPlace& place : documents_of(dataset_, shard, options_.split)) {
      const auto row = std::size_t(place.passages.begin - passages.begin);
      add_example(
          place.passages.begin, offsets[row + 1] - offsets[row],
          std::span(ranges).subspan(std::size_t(range_offsets[row]),
                                    std::size_t(range_offsets[row + 1] - range_offsets[row])));
    }
  }
}

void PackedExamples::add_example(std::int64_t passage, std::int64_t tokens,
                                 std::span<const std::int32_t> predicted) {
  if (!are_ranges(predicted, tokens))
    throw Error(ExitCode::data,
                fmt::format("the ranges to predict of passage {} are none of its tokens", passage),
                dataset_.folder().string(), "make the dataset again");
  const std::int64_t end = std::min<std::int64_t>(predicted.back(), options_.length + 1);
  std::int64_t asked = 0;
  for (std::size_t i = 0; i < predicted.size(); i += 2)
    asked +=
        std::max<std::int64_t>(0, std::min<std::int64_t>(predicted[i + 1], end) - predicted[i]);
  if (asked == 0) {
    ++left_out_;
    return;
  }
  cut_ += end < predicted.back();
  examples_.push_back({passage, std::int32_t(end - 1), std::int32_t(asked)});
}

void PackedExamples::pack() {
  std::deque<std::int64_t> room;  // of the open sequences; the first is number `first_open`
  std::int64_t first_open = 0;
  std::vector<std::int64_t> sequence_of;
  for (const Example& example : examples_) {
    auto place = std::find_if(room.begin(), room.end(),
                              [&](std::int64_t left) { return left >= example.tokens; });
    if (place == room.end()) {
      if (std::ssize(room) == kOpenSequences) {
        room.pop_front();
        ++first_open;
      }
      place = room.insert(room.end(), options_.length);
    }
    *place -= example.tokens;
    sequence_of.push_back(first_open + (place - room.begin()));
    total_.tokens += example.tokens;
    total_.asked += example.asked;
  }
  const std::int64_t sequences = first_open + std::ssize(room);
  starts_.assign(std::size_t(sequences) + 1, 0);
  for (const std::int64_t sequence : sequence_of) ++starts_[std::size_t(sequence) + 1];
  std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
  std::vector<std::int64_t> next(starts_.begin(), starts_.end() - 1);
  std::vector<Example> ordered(examples_.size());
  for (std::size_t i = 0; i < examples_.size(); ++i)
    ordered[std::size_t(next[std::size_t(sequence_of[i])]++)] = examples_[i];
  examples_ = std::move(ordered);
  set_sequences(sequences);
}

void PackedExamples::append(std::int64_t number, LanguageBatch& batch) const {
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> tokens, predicted;
  for (std::int64_t i = starts_[std::size_t(number)]; i < starts_[std::size_t(number) + 1]; ++i) {
    const Example& example = examples_[std::size_t(i)];
    read_tokens(dataset_, tokens_, {example.passage, example.passage + 1}, offsets, tokens);
    dataset_.read_ragged(predicted_, example.passage, 1, offsets, predicted);
    batch.sequences.add(tokens, example.tokens);
    const std::size_t begin = batch.targets.size();
    batch.targets.resize(begin + std::size_t(example.tokens), -1);
    for (std::size_t range = 0; range < predicted.size(); range += 2)
      for (std::int32_t t = predicted[range]; t < predicted[range + 1] && t <= example.tokens; ++t)
        batch.targets[begin + std::size_t(t) - 1] = tokens[std::size_t(t)];
  }
}

TokenCount PackedExamples::count_of(std::int64_t number) const {
  TokenCount sum;
  for (std::int64_t i = starts_[std::size_t(number)]; i < starts_[std::size_t(number) + 1]; ++i) {
    sum.tokens += examples_[std::size_t(i)].tokens;
    sum.asked += examples_[std::size_t(i)].asked;
  }
  return sum;
}

}  // namespace tutti
