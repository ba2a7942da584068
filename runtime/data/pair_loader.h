// Batches of (query, passage) pairs for contrastive training, each a function of (seed, step)
// alone.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/documents.h"
#include "runtime/data/sampler.h"
#include "runtime/data/sequences.h"

namespace tutti {

struct PairOptions {
  std::uint64_t seed = 1;
  TextForm form{.longest = 128, .frame = {}};  // of queries and passages
  // Share of pairs whose query is a run of words out of another passage of the document instead of
  // its summary: more questions than the documents' authors wrote (the inverse cloze task of Lee,
  // Chang and Toutanova, 2019).
  double span_share = 0;
};

// The training documents of a text dataset: those of split "train" that have a query and a passage.
// A document's query is its summary, or its title where it has none; its positive is one of its
// passages, drawn by (seed, epoch, document). Local; reads only what a batch needs. Throws
// Error(data), agreed, where the dataset has no such documents.
class PairLoader {
 public:
  // The dataset must outlive the loader.
  PairLoader(const Dataset& dataset, PairOptions options);

  const Dataset& dataset() const { return dataset_; }
  std::int64_t documents() const { return sampler_.count(); }

  // The global document rows of pairs [pairs.begin, pairs.end) of step `step`'s batch of `batch`
  // pairs.
  std::vector<std::int64_t> document_rows(std::int64_t step, std::int64_t batch, Range pairs) const;
  // Those pairs' queries, followed by their passages: 2 * pairs.size() sequences.
  Sequences load(std::int64_t step, std::int64_t batch, Range pairs) const;

 private:
  static std::vector<DocumentPlace> eligible(const Dataset& dataset);
  std::vector<std::int32_t> tokens_of(const Dataset::Column& column, std::int64_t row) const;
  std::vector<std::int32_t> query_of(const DocumentPlace& document, std::int64_t epoch,
                                     std::int64_t drawn) const;
  std::int64_t draw(const DocumentPlace& document, std::int64_t epoch, std::uint64_t purpose,
                    std::int64_t range) const;

  const Dataset& dataset_;
  PairOptions options_;
  Dataset::Column query_, title_, passage_;
  std::vector<DocumentPlace> documents_;
  Sampler sampler_;
};

}  // namespace tutti
