// The nearest neighbours of batches of queries by an index's graph, over all ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "jobs/index_graph.h"
#include "jobs/job.h"
#include "jobs/list_chunk.h"
#include "kernels/core/arena.h"
#include "kernels/vector/code_rows.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/top_k.h"
#include "kernels/vector/vector_graph.h"

namespace tutti {

// Every rank holds the graph with all vectors and answers a range of the queries, each on one
// thread; so the result has the same bytes on any number of ranks. Deleted vectors are never found.
// Vectors that were added since the graph was built are all looked at.
class GraphSearcher {
 public:
  // `measured`: of those that a query comes by, so many are measured; 0: all within the breadth.
  // Collective; throws Error on all ranks: Error(data) where the index has no graph, Error(usage)
  // where it does not fit `memory_bytes`. The index must outlive it.
  GraphSearcher(JobContext& context, const IndexFolder& index, std::int64_t k,
                std::int64_t measured, std::int64_t memory_bytes);

  // The k nearest that walks of this breadth find, row by row, padded; on the root, and nothing
  // elsewhere. Collective; throws Error on all ranks.
  std::vector<Neighbor> search(ConstMatrixView<float> queries, std::int64_t breadth);

  // Bytes that this rank holds. Local.
  std::int64_t held_bytes() const;

 private:
  void load(std::int64_t memory_bytes);

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  std::int64_t k_, measured_;
  std::optional<CodeSpace> space_;
  GraphParts parts_;
  std::vector<float> centroids_;
  std::optional<GraphEntries> starts_;
  std::optional<ListChunk> vectors_, added_;  // of the graph; of later segments
  std::optional<CodeRows> codes_;
  std::optional<EntrySet> live_;  // of the graph's, where some are deleted
  std::optional<VectorGraph> graph_;
};

}  // namespace tutti
