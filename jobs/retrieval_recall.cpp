#include "jobs/retrieval_recall.h"

#include <algorithm>

#include "kernels/vector/scan.h"
#include "runtime/base/check.h"
#include "runtime/data/bm25.h"
#include "runtime/data/sampler.h"
#include "runtime/data/split.h"

namespace tutti {
namespace {

// The documents of a dataset, by the part they may take.
struct Documents {
  std::vector<DocumentPlace> asked_for, heldout, training;
};

Documents documents_by_part(const Dataset& dataset) {
  const auto query = dataset.column("documents", "query");
  Documents all;
  std::vector<std::int64_t> offsets;
  for (std::int64_t shard = 0; shard < dataset.manifest().shards(); ++shard) {
    const Range rows = dataset.shard_rows("documents", shard);
    dataset.read_offsets(query, rows.begin, rows.size(), offsets);
    for (const DocumentPlace& place : documents_of(dataset, shard, kHeldoutSplit)) {
      const auto i = std::size_t(place.row - rows.begin);
      (offsets[i + 1] > offsets[i] ? all.asked_for : all.heldout).push_back(place);
    }
    const auto training = documents_of(dataset, shard, kTrainSplit);
    all.training.insert(all.training.end(), training.begin(), training.end());
  }
  return all;
}

// The order in which documents are chosen.
Sampler order_of(const std::vector<DocumentPlace>& documents, std::uint64_t seed) {
  return Sampler(std::max<std::int64_t>(1, std::ssize(documents)), seed);
}

}  // namespace

RetrievalPool::RetrievalPool(Comm& comm, const Dataset& dataset, const RecallOptions& options)
    : comm_(comm), dataset_(dataset), options_(options) {
  Documents all;
  comm.attempt([&] { all = documents_by_part(dataset); });
  const Sampler order = order_of(all.asked_for, options.seed);
  std::vector<DocumentPlace> asked;
  for (std::int64_t i = 0; i < std::ssize(all.asked_for); ++i) {
    const DocumentPlace& document = all.asked_for[std::size_t(order.at(0, i))];
    (options.queries == 0 || i < options.queries ? asked : all.heldout).push_back(document);
  }
  for (const DocumentPlace& document : asked) take(document);
  fill(all.heldout);
  fill(all.training);
  finish(asked);
}

void RetrievalPool::take(const DocumentPlace& document) {
  pool_.push_back(document);
  taken_ += document.passages.size();
}

// In a keyed order, up to where there is no room for any.
void RetrievalPool::fill(const std::vector<DocumentPlace>& documents) {
  const Sampler order = order_of(documents, options_.seed);
  const std::int64_t all = options_.passages == 0 ? INT64_MAX : options_.passages;
  for (std::int64_t i = 0; i < std::ssize(documents) && taken_ < all; ++i) {
    const DocumentPlace& document = documents[std::size_t(order.at(0, i))];
    if (document.passages.size() <= all - taken_) take(document);
  }
}

void RetrievalPool::finish(const std::vector<DocumentPlace>& asked) {
  const auto by_row = [](const DocumentPlace& a, const DocumentPlace& b) { return a.row < b.row; };
  std::sort(pool_.begin(), pool_.end(), by_row);
  for (std::int64_t d = 0; d < documents(); ++d) {
    const Range passages = pool_[std::size_t(d)].passages;
    for (std::int64_t row = passages.begin; row < passages.end; ++row) {
      owner_.push_back(d);
      passage_rows_.push_back(row);
    }
  }
  for (const DocumentPlace& document : asked)
    queries_.push_back(std::lower_bound(pool_.begin(), pool_.end(), document, by_row) -
                       pool_.begin());
}

// Ranks take whole blocks, so that what runs together does not depend on their number.
Range RetrievalPool::my_blocks(std::int64_t rows) const {
  const std::int64_t blocks = (rows + options_.block - 1) / options_.block;
  const Range mine = part_of(blocks, comm_.size(), comm_.rank());
  return {std::min(rows, mine.begin * options_.block), std::min(rows, mine.end * options_.block)};
}

// This rank's share of a list of rows of a column of tokens.
std::vector<float> RetrievalPool::embed_rows(Encoder& encoder, const TextForm& form,
                                             const Dataset::Column& column,
                                             const std::vector<std::int64_t>& rows) const {
  const Range mine = my_blocks(std::ssize(rows));
  const std::int64_t width = encoder.shape().width;
  std::vector<float> vectors(std::size_t(mine.size() * width));
  for (std::int64_t at = mine.begin; at < mine.end; at += options_.block) {
    Sequences sequences;
    const std::int64_t end = std::min(mine.end, at + options_.block);
    for (std::int64_t i = at; i < end; ++i) {
      const std::int64_t row = rows[std::size_t(i)];
      append_rows(dataset_, column, {row, row + 1}, form, sequences);
    }
    encoder.embed({sequences.tokens, sequences.offsets},
                  std::span(vectors).subspan(std::size_t((at - mine.begin) * width),
                                             std::size_t((end - at) * width)));
  }
  return vectors;
}

// This rank's share of the passages' vectors as the embed job left them: row for row the passages.
std::vector<float> RetrievalPool::read_stored(const Dataset& stored, std::int64_t width) const {
  const Range mine = my_blocks(passages());
  const auto column = stored.column("vectors", "vector");
  std::vector<float> values(std::size_t(mine.size() * width));
  for (std::int64_t i = mine.begin; i < mine.end; ++i)
    stored.read(
        column, passage_rows_[std::size_t(i)], 1,
        std::span(values).subspan(std::size_t((i - mine.begin) * width), std::size_t(width)));
  return values;
}

RecallVectors RetrievalPool::embed(Encoder& encoder, const TextForm& form,
                                   const Dataset* stored) const {
  std::vector<std::int64_t> query_rows;
  for (std::int64_t document : queries_) query_rows.push_back(pool_[std::size_t(document)].row);
  RecallVectors vectors;
  comm_.attempt([&] {
    vectors.queries = embed_rows(encoder, form, dataset_.column("documents", "query"), query_rows);
    vectors.passages =
        stored ? read_stored(*stored, encoder.shape().width)
               : embed_rows(encoder, form, dataset_.column("passages", "tokens"), passage_rows_);
  });
  vectors.queries = comm_.all_gather(std::span<const float>(vectors.queries));
  return vectors;
}

double RetrievalPool::recall(const RecallVectors& vectors) const {
  CHECK(queries() > 0);
  const std::int64_t width = std::ssize(vectors.queries) / queries();
  const Range mine = my_blocks(passages());
  std::vector<TopK> nearest(queries_.size(), TopK(options_.k));
  scan(ConstMatrixView<float>(vectors.queries.data(), queries(), width),
       VectorRows(ConstMatrixView<float>(vectors.passages.data(), mine.size(), width)),
       VectorIds(mine.begin), Metric::cosine, nearest);
  const std::vector<std::vector<std::int64_t>> found = merge(nearest);
  std::int64_t hits = 0;
  for (std::size_t q = 0; q < found.size(); ++q) hits += is_found(queries_[q], found[q]);
  return double(hits) / double(queries());
}

// Every rank's nearest, merged; entries of the pool, query by query.
std::vector<std::vector<std::int64_t>> RetrievalPool::merge(std::span<const TopK> nearest) const {
  const std::size_t k = std::size_t(options_.k);
  std::vector<Neighbor> mine(nearest.size() * k);
  for (std::size_t q = 0; q < nearest.size(); ++q)
    nearest[q].write_sorted(std::span(mine).subspan(q * k, k));
  const std::vector<Neighbor> all = comm_.all_gather(std::span<const Neighbor>(mine));
  std::vector<std::vector<std::int64_t>> found(nearest.size());
  std::vector<Neighbor> best(k);
  for (std::size_t q = 0; q < nearest.size(); ++q) {
    TopK merged(options_.k);
    for (std::size_t r = 0; r < std::size_t(comm_.size()); ++r)
      for (std::size_t i = 0; i < k; ++i) merged.push(all[r * mine.size() + q * k + i]);
    merged.write_sorted(best);
    for (const Neighbor& n : best)
      if (n.id >= 0) found[q].push_back(n.id);
  }
  return found;
}

bool RetrievalPool::is_found(std::int64_t document,
                             const std::vector<std::int64_t>& entries) const {
  return std::any_of(entries.begin(), entries.end(),
                     [&](std::int64_t entry) { return owner_[std::size_t(entry)] == document; });
}

std::string RetrievalPool::text_of(const Dataset::Column& column, std::int64_t row) const {
  std::vector<std::int64_t> offsets;
  std::vector<std::uint8_t> bytes;
  dataset_.read_ragged(column, row, 1, offsets, bytes);
  return {bytes.begin(), bytes.end()};
}

double RetrievalPool::recall_by_words() const {
  CHECK(queries() > 0);
  const Range mine = part_of(queries(), comm_.size(), comm_.rank());
  std::int64_t hits = 0;
  comm_.attempt([&] {
    Bm25 words;
    for (std::int64_t row : passage_rows_)
      words.add(text_of(dataset_.column("passages", "text"), row));
    const auto query = dataset_.column("documents", "query_text");
    for (std::int64_t q = mine.begin; q < mine.end; ++q) {
      const std::int64_t document = queries_[std::size_t(q)];
      hits += is_found(document,
                       words.best(text_of(query, pool_[std::size_t(document)].row), options_.k));
    }
  });
  return double(comm_.all_reduce_sum(hits)) / double(queries());
}

}  // namespace tutti
