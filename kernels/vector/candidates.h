// What is kept of a search that ranks vectors by something cheaper than their distance, and
// measures a few in the end.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/scan.h"
#include "kernels/vector/shared_limits.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// A vector in memory that may be a neighbour.
struct Candidate {
  float key;  // at least zero
  std::int32_t place;
};

// One whose distance is known. The order is that of (key, id), which leaves nothing open.
struct RankedNeighbor {
  float key = std::numeric_limits<float>::infinity();
  float distance = std::numeric_limits<float>::infinity();
  std::int64_t id = -1;
};

inline bool ranks_before(const RankedNeighbor& a, const RankedNeighbor& b) {
  return a.key != b.key ? a.key < b.key : a.id < b.id;
}

// One that is kept of a query and not measured yet: found[query][at] is its neighbour.
struct ListedCandidate {
  std::int32_t place, query, at;
};

// Vectors by their places, at most 2^31. Without rows where only their ids are in memory.
struct PlacedVectors {
  VectorRows rows;
  VectorIds ids;
};

// For each query the vectors with the least keys, and of equal keys those with the least ids:
// `depth` of them at most. So what is kept depends neither on the order in which candidates come
// nor on how they are shared between accumulators.
class Candidates {
 public:
  // Of `vectors`. Throws std::invalid_argument for a depth below one.
  Candidates(std::int64_t queries, std::int64_t depth, const PlacedVectors& vectors);

  std::int64_t queries() const { return limits_.queries(); }
  std::int64_t depth() const { return depth_; }

  // A candidate with a larger key is passed over: it cannot be among those wanted, unless the limit
  // was lowered too far.
  float limit(std::int64_t query) const { return limits_.limit(query); }
  // The caller knows of `depth` vectors whose keys are at most this, or finds out in the end by
  // is_full(). Threads may do so at any time.
  void lower(std::int64_t query, float limit) { limits_.lower(query, limit); }
  // Has ready what add() will want.
  void prefetch(std::int64_t query) const;
  // Takes candidates into account. Threads may do so at any time.
  void add(std::int64_t query, std::span<const Candidate> found);
  // Brings the limits down to what is known, and drops what exceeds them. Parallel.
  void settle();
  // Whether `depth` candidates of a query are kept, so that its limit was not lowered too far. It
  // must be settled.
  bool is_full(std::int64_t query) const {
    return counts_[static_cast<std::size_t>(query)] >= depth_;
  }
  // The keys of what is kept of a query, in no order, and infinity: depth() in all. It must be
  // settled.
  void write_keys(std::int64_t query, std::span<float> keys) const;

  // Those that are kept of each query, with their distances as reference::distance defines them:
  // appended to found[query], in no order. Parallel.
  void measure(ConstMatrixView<float> queries, Metric metric,
               std::span<std::vector<RankedNeighbor>> found);
  // The same of queries [begin, end) where the vectors are elsewhere: distances are left to
  // measure_listed. Returns who is to be measured, in ascending order of (place, query). Parallel.
  std::vector<ListedCandidate> list(std::int64_t begin, std::int64_t end,
                                    std::span<std::vector<RankedNeighbor>> found);

 private:
  // How near a key is, as an integer: the order of keys, which are at least zero, turned round.
  static std::int32_t nearness(float key) { return ~std::bit_cast<std::int32_t>(key); }
  static float key_of(std::int32_t nearness) { return std::bit_cast<float>(~nearness); }

  void shrink(std::int64_t query);
  void add_exclusively(std::int64_t query, std::span<const Candidate> found);
  std::int64_t drop_below(std::int32_t least, std::int32_t* near, std::int32_t* places,
                          std::int64_t count) const;
  std::span<const Candidate> kept(std::int64_t query, std::vector<Candidate>& scratch);

  PlacedVectors vectors_;
  std::int64_t depth_, room_;
  std::vector<std::int32_t> nearness_, places_;  // [queries][room]
  std::vector<std::int32_t> counts_;
  SharedLimits limits_;
};

// Sets the distances of listed candidates, whose vectors are rows[i] of `vectors`. One thread's;
// others may do so for other candidates.
void measure_listed(ConstMatrixView<float> queries, Metric metric, const VectorRows& vectors,
                    std::span<const ListedCandidate> listed, std::span<const std::int64_t> rows,
                    std::span<std::vector<RankedNeighbor>> found);

// Drops all but the `depth` first; what is left is in no order.
void keep_first(std::vector<RankedNeighbor>& candidates, std::int64_t depth);

// The k nearest of the `depth` first candidates, by (distance, id), padded; out has k places.
void nearest_of(std::vector<RankedNeighbor> candidates, std::int64_t depth,
                std::span<Neighbor> out);

}  // namespace tutti
