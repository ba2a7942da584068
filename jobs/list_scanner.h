// Scans the inverted lists of one rank's shards, read piece by piece.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "jobs/index_folder.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/scan.h"
#include "kernels/vector/top_k.h"
#include "runtime/comm/partition.h"

namespace tutti {

// Neighbours are added to results[q] for row q of the queries; they depend neither on the shards'
// number nor on memory_bytes. Local. Throws Error(data) naming file and block where the index is
// damaged.
class ListScanner {
 public:
  // Reads where the lists of `shards` stand. Vectors in memory at a time take up to `memory_bytes`,
  // or one vector. The index must outlive the scanner.
  ListScanner(const IndexFolder& index, Range shards, std::int64_t memory_bytes);

  // The lists that row q of `probes` names (padding names none), for every q: list by list, each
  // against all queries that probe it.
  void scan_probed(ConstMatrixView<float> queries, ConstMatrixView<Neighbor> probes,
                   std::span<TopK> results) const;
  // All lists.
  void scan_all(ConstMatrixView<float> queries, std::span<TopK> results) const;

 private:
  // Part of a list: rows of the table `entries` over all shards.
  struct Piece {
    std::int64_t list = 0;
    Range entries;
  };
  // The rows of the query matrix that probe list lists_.begin + i: members[starts[i], starts[i +
  // 1]), ascending.
  struct Probers {
    std::vector<std::int64_t> starts, members;
  };

  void add_lists(std::int64_t shard);
  Probers group_by_list(ConstMatrixView<Neighbor> probes) const;
  std::span<const std::int64_t> probers_of(const Probers& probers, std::int64_t list) const;
  void scan_chunk(ConstMatrixView<float> queries, std::span<const Piece> chunk,
                  const Probers& probers, std::span<TopK> results) const;
  void scan_probers(ConstMatrixView<float> queries, const Probers& probers,
                    std::span<TopK> results) const;

  const IndexFolder& index_;
  Dataset::Column vector_, id_;
  std::int64_t chunk_entries_;
  Range lists_;                // those of the shards
  std::vector<Piece> pieces_;  // in order of list
};

}  // namespace tutti
