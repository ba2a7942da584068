// Neighbours that come from one of several indexes.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/vector/top_k.h"

namespace tutti {

// A neighbour and the index that it is of, by its place among those that are searched. The default
// is padding.
struct FoundNeighbor {
  float distance = std::numeric_limits<float>::infinity();
  std::int32_t index = -1;
  std::int64_t id = -1;

  friend bool operator==(const FoundNeighbor&, const FoundNeighbor&) = default;
};

// The strict total order: by distance, index, id. Padding comes after everything.
inline bool found_before(const FoundNeighbor& a, const FoundNeighbor& b) {
  if (a.distance != b.distance) return a.distance < b.distance;
  if (a.index != b.index) return std::uint32_t(a.index) < std::uint32_t(b.index);
  return std::uint64_t(a.id) < std::uint64_t(b.id);
}

inline FoundNeighbor found_in(std::int32_t index, const Neighbor& neighbor) {
  return {neighbor.distance, neighbor.id < 0 ? -1 : index, neighbor.id};
}

// Those of query q are neighbors[offsets[q], offsets[q + 1]), nearest first.
template <class T>
struct QueryLists {
  std::vector<std::int64_t> offsets{0};
  std::vector<T> neighbors;

  std::int64_t queries() const { return std::int64_t(offsets.size()) - 1; }
  std::span<const T> of(std::int64_t query) const {
    return std::span(neighbors).subspan(
        std::size_t(offsets[std::size_t(query)]),
        std::size_t(offsets[std::size_t(query) + 1] - offsets[std::size_t(query)]));
  }
  void add(std::span<const T> next) {
    neighbors.insert(neighbors.end(), next.begin(), next.end());
    offsets.push_back(std::int64_t(neighbors.size()));
  }
};

using FoundLists = QueryLists<FoundNeighbor>;

}  // namespace tutti
