// Neighbours of queries, as many as each has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector/top_k.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Those of query q are neighbors[offsets[q], offsets[q + 1]), nearest first.
struct NeighborLists {
  std::vector<std::int64_t> offsets{0};
  std::vector<Neighbor> neighbors;

  std::int64_t queries() const { return std::int64_t(offsets.size()) - 1; }
  std::span<const Neighbor> of(std::int64_t query) const {
    return std::span(neighbors).subspan(
        std::size_t(offsets[std::size_t(query)]),
        std::size_t(offsets[std::size_t(query) + 1] - offsets[std::size_t(query)]));
  }
  void add(std::span<const Neighbor> next) {
    neighbors.insert(neighbors.end(), next.begin(), next.end());
    offsets.push_back(std::int64_t(neighbors.size()));
  }
};

// What all ranks have found of the same queries, of each query the first k by (distance, id), on
// the root, and no queries elsewhere: the same whatever was found where. Collective.
NeighborLists merge_lists(Comm& comm, std::vector<TopK> found);

}  // namespace tutti
