// A graph of near vectors from inverted lists: what is near is found by products of whole lists.
//
// The partitions are the lists, and they overlap: each vector is compared with all vectors of the
// lists that it is nearest to, all of a list's at a time (ranked_scan.h). Of the nearest that this
// finds it keeps a few as its neighbours (graph_edges.h), each of which gets it as a neighbour,
// too, and keeps a few of all these. What comes out follows from the vectors, the lists and the
// shape alone, row by row, however the rows are shared between calls and threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/code_rows.h"
#include "kernels/vector/coded_vectors.h"
#include "kernels/vector/graph_entries.h"
#include "kernels/vector/graph_search.h"

namespace tutti {

struct GraphShape {
  std::int64_t degree = 32;  // places for neighbours; the last is connect_graph's, at least 2
  std::int64_t probes = 16;  // lists that a vector is compared with
};

// Vectors in lists: list l is rows [begins[l], begins[l + 1]).
struct ListedVectors {
  VectorRows vectors;
  std::span<const std::int64_t> begins;  // one more than there are lists
  ConstMatrixView<float> centroids;      // a row a list
};

// Edges that go to some consecutive vertices: to vertex i of these come those from
// from[starts[i] : starts[i + 1]].
struct IncomingEdges {
  std::span<const std::int64_t> starts;
  std::span<const std::int32_t> from;
};

class GraphBuild {
 public:
  // Makes the vectors' codes, in parallel. All but `shape` outlive it. Throws std::invalid_argument
  // where the parts do not fit each other, or there are more than 2^31 - 1 vectors.
  GraphBuild(const CodeSpace& space, const ListedVectors& lists, const GraphShape& shape);

  // Neighbours of `edges.rows` vectors from row `first` on, and -1 behind them, in degree columns.
  // Parallel.
  void find_near(std::int64_t first, MatrixView<std::int32_t> edges) const;
  // The same of these neighbours, which `edges` holds, and of those that they are neighbours of.
  // Parallel.
  void add_incoming(std::int64_t first, const IncomingEdges& incoming,
                    MatrixView<std::int32_t> edges) const;

  // Where searches of a whole graph are to begin (graph_entries.h). Parallel.
  ListEntries entries(ConstMatrixView<std::int32_t> edges) const {
    return choose_entries(space_, rows_, lists_.begins, lists_.centroids, edges);
  }

  // Memory that it takes a vector.
  static std::int64_t bytes_per_vector(const CodeSpace& space);

 private:
  // Lists and the vectors, by their numbers in a call, that are compared with each.
  using Probers = std::vector<std::vector<std::int32_t>>;
  Probers probers_of(ConstMatrixView<float> vectors) const;
  void choose(std::int64_t vertex, std::vector<std::int32_t>& near, bool all,
              std::int32_t* edges) const;

  const CodeSpace& space_;
  ListedVectors lists_;
  GraphShape shape_;
  CodeRows rows_;
  std::vector<std::int64_t> groups_;  // of each list, among codes_
  CodedVectors codes_;
  CodeSpace centroid_space_;
  CodedCentroids centroids_;
};

// Sees to it that one comes from the first vertex to every other: to one that nothing leads to from
// there an edge goes from the vertex before it, in the last place of that one's row, which is free.
// Returns how many.
std::int64_t connect_graph(MatrixView<std::int32_t> edges);

}  // namespace tutti
