// Retrieval of held-out documents: how often a document's own query finds one of its passages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/model/encoder.h"
#include "kernels/vector/top_k.h"
#include "runtime/comm/comm.h"
#include "runtime/data/dataset.h"
#include "runtime/data/documents.h"
#include "runtime/data/sequences.h"

namespace tutti {

struct RecallOptions {
  std::int64_t k = 10;          // a document is found by one of so many best passages
  std::int64_t queries = 1000;  // at most; 0: all
  std::int64_t passages = 0;    // to search in, about; 0: in all
  std::int64_t block = 128;     // passages that are embedded at a time
  std::uint64_t seed = 1;       // chooses queries and documents
};

// Vectors of unit length: of all queries, and of this rank's share of the passages.
struct RecallVectors {
  std::vector<float> queries, passages;
};

// What is searched in: the documents whose queries are asked, and as many others as
// RecallOptions::passages leaves room for, held-out ones before those of training. The same on any
// number of ranks, and so are the figures. The dataset outlives it.
class RetrievalPool {
 public:
  // Collective; errors as for Dataset.
  RetrievalPool(Comm& comm, const Dataset& dataset, const RecallOptions& options);

  // 0 where no held-out document has both a query and a passage: there is nothing to measure then.
  std::int64_t queries() const { return std::int64_t(queries_.size()); }
  std::int64_t documents() const { return std::int64_t(pool_.size()); }
  std::int64_t passages() const { return std::int64_t(owner_.size()); }

  // By an encoder that takes texts in `form`; with `stored`, which has a vector for each of the
  // dataset's passages, these are read instead. Collective.
  RecallVectors embed(Encoder& encoder, const TextForm& form,
                      const Dataset* stored = nullptr) const;
  // The share of queries that find their document. Collective; CHECKs that there are queries.
  double recall(const RecallVectors& vectors) const;
  // The same by BM25, a search by words. Collective.
  double recall_by_words() const;

 private:
  void take(const DocumentPlace& document);
  void fill(const std::vector<DocumentPlace>& documents);
  void finish(const std::vector<DocumentPlace>& asked);
  Range my_blocks(std::int64_t rows) const;
  std::vector<float> embed_rows(Encoder& encoder, const TextForm& form,
                                const Dataset::Column& column,
                                const std::vector<std::int64_t>& rows) const;
  std::vector<float> read_stored(const Dataset& stored, std::int64_t width) const;
  std::vector<std::vector<std::int64_t>> merge(std::span<const TopK> nearest) const;
  bool is_found(std::int64_t document, const std::vector<std::int64_t>& entries) const;
  std::string text_of(const Dataset::Column& column, std::int64_t row) const;

  Comm& comm_;
  const Dataset& dataset_;
  RecallOptions options_;
  std::vector<DocumentPlace> pool_;         // in order of row
  std::int64_t taken_ = 0;                  // passages of the pool
  std::vector<std::int64_t> passage_rows_;  // of the pool's passages, one after another
  std::vector<std::int64_t> owner_;         // their documents: places in pool_
  std::vector<std::int64_t> queries_;       // the documents that are looked for: places in pool_
};

}  // namespace tutti
