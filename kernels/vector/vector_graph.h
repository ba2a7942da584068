// The nearest vectors to batches of queries, by way of a graph.
//
// A query walks through the graph (graph_search.h) by its code and those of the vectors, and the
// nearest that it has come by are measured. A query so far outside of what the codes' space was
// made for that its code tells little walks by the distances themselves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector/candidates.h"
#include "kernels/vector/code_rows.h"
#include "kernels/vector/coded_scan.h"
#include "kernels/vector/graph_entries.h"
#include "kernels/vector/graph_search.h"
#include "kernels/vector/pair_distances.h"

namespace tutti {

// How far a query looks.
struct GraphReach {
  std::int64_t breadth = 64;  // of its walk
  std::int64_t measured = 0;  // of the nearest that it came by, at most
};

class VectorGraph {
 public:
  // The vertices are the first of `vectors`. `wanted`: which of them may be found, as
  // GraphSearch::only has it. All outlive it.
  VectorGraph(const CodeSpace& space, const GraphView& graph, const CodeRows& codes,
              const GraphEntries& entries, const PlacedVectors& vectors,
              std::span<const std::uint64_t> wanted = {});

  // results[i] accumulates what query i finds, with distances as reference::distance defines them:
  // the same whatever the threads and the other queries. Parallel over the queries. Throws
  // std::invalid_argument where shapes do not fit.
  void search(ConstMatrixView<float> queries, const GraphReach& reach, std::span<TopK> results);

 private:
  // What a thread works with.
  struct Walker {
    GraphSearch search;
    PairDistances distances;
    std::vector<std::int8_t> code;
    std::vector<std::int32_t> starts;
  };

  void search_some(ConstMatrixView<float> queries, const GraphReach& reach, std::span<TopK> results,
                   Walker& walker) const;
  std::span<const FoundVertex> walk(const CodedQueries& queries, std::int64_t query,
                                    std::int64_t breadth, Walker& walker) const;
  void prefetch(std::int32_t vertex) const;
  void measure(const float* query, const std::int32_t* vertices, std::int64_t count,
               PairDistances& distances, float* out) const;

  const CodeSpace& space_;
  GraphView graph_;
  const CodeRows& codes_;
  const GraphEntries& entries_;
  PlacedVectors vectors_;
  std::span<const std::uint64_t> wanted_;
  std::vector<Walker> walkers_;  // a thread's each
};

}  // namespace tutti
