// Pairs of an index's vectors that are near each other, over all ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "jobs/index_folder.h"
#include "jobs/index_searcher.h"
#include "jobs/job.h"
#include "runtime/data/pair_batches.h"

namespace tutti {

// What makes two vectors near-duplicates, and how they are looked for.
struct PairSearch {
  float limit = 0;          // of kernels/vector's distance
  std::int64_t nprobe = 0;  // lists to look into for each vector; 0: all
  std::int64_t most = 0;    // others of each vector, the nearest; 0: all
  std::int64_t memory = 0;  // for the index's vectors
};

// Searches for what is near each vector. Collective; throws Error on all ranks.
class PairFinder {
 public:
  // The index must outlive it.
  PairFinder(JobContext& context, const IndexFolder& index, const PairSearch& search);

  // The pairs that searches for these rows of the table `entries` find, by (a, b), each once, on
  // the root; nothing elsewhere. Where nothing is left out, a pair is found for its smaller id
  // alone; else for either, so that others' rows may find it, too.
  std::vector<VectorPair> find(Range entries);

 private:
  void load(Range entries);

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  PairSearch search_;
  IndexSearcher searcher_;
  std::vector<float> vectors_;  // of the rows
  std::vector<std::int64_t> ids_;
};

}  // namespace tutti
