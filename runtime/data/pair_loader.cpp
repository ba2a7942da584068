#include "runtime/data/pair_loader.h"

#include <algorithm>

#include "kernels/core/random.h"
#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/split.h"

namespace tutti {
namespace {

// What a draw is for; each has a stream of random numbers of its own.
enum Purpose : std::uint64_t {
  kPassage = 0,
  kKindOfQuery,
  kSpanPassage,
  kSpanLength,
  kSpanPlace,
  kPurposes
};

constexpr std::int64_t kShortestSpan = 4, kLongestSpan = 16;

}  // namespace

PairLoader::PairLoader(const Dataset& dataset, PairOptions options)
    : dataset_(dataset),
      options_(options),
      query_(dataset.column("documents", "query")),
      title_(dataset.column("documents", "title_tokens")),
      passage_(dataset.column("passages", "tokens")),
      documents_(eligible(dataset)),
      sampler_(std::max<std::int64_t>(1, std::int64_t(documents_.size())), options.seed) {
  if (documents_.empty())
    throw Error(ExitCode::data, "no training document has both a query (or title) and a passage",
                dataset.folder().string(), "check fields.query and fields.text of the shard job")
        .as_agreed();  // every rank looks at the same dataset
}

std::vector<DocumentPlace> PairLoader::eligible(const Dataset& dataset) {
  const auto query = dataset.column("documents", "query"),
             title = dataset.column("documents", "title_tokens");
  std::vector<DocumentPlace> documents;
  for (std::int64_t shard = 0; shard < dataset.manifest().shards(); ++shard) {
    const Range rows = dataset.shard_rows("documents", shard);
    std::vector<std::int64_t> query_offsets, title_offsets;
    dataset.read_offsets(query, rows.begin, rows.size(), query_offsets);
    dataset.read_offsets(title, rows.begin, rows.size(), title_offsets);
    for (const DocumentPlace& place : documents_of(dataset, shard, kTrainSplit)) {
      const auto i = std::size_t(place.row - rows.begin);
      if (query_offsets[i + 1] > query_offsets[i] || title_offsets[i + 1] > title_offsets[i])
        documents.push_back(place);
    }
  }
  return documents;
}

std::int64_t PairLoader::draw(const DocumentPlace& document, std::int64_t epoch,
                              std::uint64_t purpose, std::int64_t range) const {
  const std::uint64_t stream = std::uint64_t(epoch) * kPurposes + purpose;
  return std::int64_t(
      random_u64(options_.seed ^ 0x7061697273u, stream, std::uint64_t(document.row)) %
      std::uint64_t(range));
}

std::vector<std::int32_t> PairLoader::tokens_of(const Dataset::Column& column,
                                                std::int64_t row) const {
  Sequences one;
  append_rows(dataset_, column, {row, row + 1}, {options_.form.room(), {}}, one);
  return std::move(one.tokens);
}

std::vector<std::int32_t> PairLoader::query_of(const DocumentPlace& document, std::int64_t epoch,
                                               std::int64_t drawn) const {
  const bool span =
      document.passages.size() > 1 &&
      double(draw(document, epoch, kKindOfQuery, 1 << 20)) < options_.span_share * double(1 << 20);
  if (!span) {
    std::vector<std::int32_t> query = tokens_of(query_, document.row);
    return query.empty() ? tokens_of(title_, document.row) : query;
  }
  const std::int64_t other =
      (drawn + 1 + draw(document, epoch, kSpanPassage, document.passages.size() - 1)) %
      document.passages.size();
  const std::vector<std::int32_t> passage = tokens_of(passage_, document.passages.begin + other);
  const std::int64_t length = std::min<std::int64_t>(
      std::int64_t(passage.size()),
      kShortestSpan + draw(document, epoch, kSpanLength, kLongestSpan - kShortestSpan + 1));
  const std::int64_t place =
      draw(document, epoch, kSpanPlace, std::int64_t(passage.size()) - length + 1);
  return {passage.begin() + place, passage.begin() + place + length};
}

std::vector<std::int64_t> PairLoader::document_rows(std::int64_t step, std::int64_t batch,
                                                    Range pairs) const {
  const BatchPlace place = batch_place(step, batch, documents());
  std::vector<std::int64_t> rows;
  for (std::int64_t i = pairs.begin; i < pairs.end; ++i)
    rows.push_back(documents_[std::size_t(sampler_.at(place.epoch, place.first_position + i))].row);
  return rows;
}

Sequences PairLoader::load(std::int64_t step, std::int64_t batch, Range pairs) const {
  const BatchPlace place = batch_place(step, batch, documents());
  Sequences sequences;
  std::vector<std::vector<std::int32_t>> passages;
  for (std::int64_t i = pairs.begin; i < pairs.end; ++i) {
    const DocumentPlace& document =
        documents_[std::size_t(sampler_.at(place.epoch, place.first_position + i))];
    const std::int64_t drawn = draw(document, place.epoch, kPassage, document.passages.size());
    sequences.add(query_of(document, place.epoch, drawn), options_.form);
    passages.push_back(tokens_of(passage_, document.passages.begin + drawn));
  }
  for (const auto& passage : passages) sequences.add(passage, options_.form);
  return sequences;
}

}  // namespace tutti
