// Where walks through a graph begin: at vectors of the lists that are nearest to a query.
//
// A graph of near vectors has no edge that leads from one cluster to another far away, so a walk
// has to begin in the right ones. The lists' centroids tell which lists these are, and what stands
// for a list is in each part of the graph that the list has vectors in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/code_rows.h"

namespace tutti {

// Those of list l are vertices[offsets[l] : offsets[l + 1]], each once.
struct ListEntries {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> vertices;
};

// Chooses them: the vertex that is nearest to the list's centroid; the two that are farthest from
// what was chosen before; and of each connected part of the graph that none of these is in the
// one nearest to the centroid. List l is rows [begins[l], begins[l + 1]) of `codes`, which are in
// `space`, and of `edges`. Parallel. Throws std::invalid_argument where the parts do not fit.
ListEntries choose_entries(const CodeSpace& space, const CodeRows& codes,
                           std::span<const std::int64_t> begins, ConstMatrixView<float> centroids,
                           ConstMatrixView<std::int32_t> edges);

class GraphEntries {
 public:
  static constexpr std::int64_t kLists = 8;  // of a query

  // Both outlive it. Throws std::invalid_argument where they do not fit.
  GraphEntries(Metric metric, ConstMatrixView<float> centroids, const ListEntries& entries);

  // The lists that are nearest to each query, one behind the other: lists_of_query() each.
  // Parallel.
  std::vector<std::int32_t> find_lists(ConstMatrixView<float> queries) const;
  std::int64_t lists_of_query() const { return lists_; }
  // Puts the first vertex and the entries of some lists into `starts`, each once.
  void gather(std::span<const std::int32_t> lists, std::vector<std::int32_t>& starts) const;

 private:
  const ListEntries& entries_;
  CodeSpace space_;
  CodedCentroids centroids_;
  std::int64_t lists_;
};

}  // namespace tutti
