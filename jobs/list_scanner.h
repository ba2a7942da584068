// Scans the inverted lists of one rank's shards.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jobs/entry_filter.h"
#include "jobs/index_folder.h"
#include "kernels/core/arena.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/coded_scan.h"
#include "kernels/vector/ranked_scan.h"
#include "kernels/vector/top_k.h"
#include "runtime/comm/partition.h"

namespace tutti {

// Queries and the lists they probe: row q of `probes`, in any order.
struct ProbingQueries {
  ConstMatrixView<float> queries;
  ConstMatrixView<std::int32_t> probes;
};

// Where only some entries are wanted, nothing of the others is kept or scanned: what remains of
// their lists is shorter lists. For many queries, vectors get codes, by which scans are fast, and
// stay in memory where they fit. For few, and where they do not fit, each scan reads the lists that
// it looks at, piece by piece. What is found for row q of the queries is added to results[q]; it
// depends neither on the shards' number nor on memory_bytes. Local. Throws Error(data) naming
// file and block where the index is damaged.
class ListScanner {
 public:
  // Reads the lists of `shards`, or where they stand. Vectors in memory at a time take up to
  // `memory_bytes`, or one vector. `by_codes`: there are so many queries that codes are worth
  // making, in `space`; where there is none, in one that suits the first vectors read. `wanted`:
  // which of the shards' entries; all where it is not given. The index and the space must outlive
  // the scanner.
  ListScanner(const IndexFolder& index, Range shards, std::int64_t memory_bytes, bool by_codes,
              const CodeSpace* space, std::optional<EntrySet> wanted = std::nullopt);
  ListScanner(const ListScanner&) = delete;
  ListScanner& operator=(const ListScanner&) = delete;

  // Those that are wanted.
  std::int64_t entries() const { return entries_; }
  // Whether all lists are in memory, so that one more scan of some of them costs little.
  bool is_resident() const { return resident_.has_value() || pieces_.empty(); }

  // Bytes of vectors, ids and codes that are in memory at a time, at most.
  std::int64_t held_bytes() const { return std::min(entries_, chunk_entries_) * entry_bytes_; }

  // The lists that each query probes (-1 is none): list by list, each against all queries that
  // probe it.
  void scan_probed(const ProbingQueries& queries, std::span<TopK> results);
  // All lists.
  void scan_all(ConstMatrixView<float> queries, std::span<TopK> results);

  // The lists that each query probes, by codes in the constructor's space alone (ranked_scan.h):
  // what is among the `depth` least keys, measured. More may be added.
  void rank_probed(const ProbingQueries& queries, const QueryCodes& codes, std::int64_t depth,
                   std::span<std::vector<RankedNeighbor>> results);
  // The same in steps, where is_resident(): candidates, to which each call adds what it finds.
  Candidates make_candidates(std::int64_t queries, std::int64_t depth) const;
  void rank_probed(const ProbingQueries& queries, const QueryCodes& codes,
                   Candidates& candidates) const;

 private:
  // Part of a list: rows of the table `entries` over all shards, and how many of them are wanted.
  struct Piece {
    std::int64_t list = 0;
    Range entries;
    std::int64_t wanted = 0;

    std::int64_t groups() const { return CodedVectors::groups_of(wanted); }
  };
  // Pieces in memory that fits() takes, or a single one.
  struct Chunk {
    AlignedBuffer<std::byte> vectors;
    std::vector<std::int64_t> ids;
    CodedVectors codes;
    std::vector<Piece> pieces;
    std::vector<std::int64_t> first_entries, first_groups;  // of each piece, within the chunk
  };
  // The rows of the query matrix that probe list lists_.begin + i: members[starts[i], starts[i +
  // 1]), ascending.
  struct Probers {
    std::vector<std::int64_t> starts;
    std::vector<std::int32_t> members;
  };

  void add_lists(std::int64_t shard);
  void read_entries(Range rows, std::int64_t at, Chunk& chunk) const;
  Chunk load(std::span<const Piece> pieces, bool with_codes);
  void encode(Chunk& chunk);
  PlacedVectors vectors_of(const Chunk& chunk) const;
  VectorRows rows_of(const Chunk& chunk, std::size_t piece) const;
  Probers group_by_list(ConstMatrixView<std::int32_t> probes) const;
  std::span<const std::int32_t> probers_of(const Probers& probers, std::int64_t list) const;
  std::vector<CodedList> coded_lists(const Chunk& chunk, const Probers& probers) const;
  void scan_plain_chunk(ConstMatrixView<float> queries, const Chunk& chunk, const Probers& probers,
                        std::span<TopK> results) const;
  VectorIds ids_of(const Chunk& chunk, std::size_t piece) const;
  bool fits(std::int64_t entries, std::int64_t groups) const {
    return entries <= chunk_entries_ && groups <= CodedVectors::kMostGroups;
  }
  template <class Scan>
  void visit_chunks(const Probers& probers, bool with_codes, Scan&& scan);
  void scan_probers(ConstMatrixView<float> queries, const Probers& probers,
                    std::span<TopK> results);

  const IndexFolder& index_;
  Dataset::Column vector_, id_;
  std::int64_t entry_bytes_, chunk_entries_;
  Range lists_;  // those of the shards, or all where these are of several segments
  bool by_codes_;
  std::optional<EntrySet> wanted_;
  std::vector<Piece> pieces_;  // in order of entry
  std::int64_t entries_ = 0;   // of all pieces, wanted ones
  std::int64_t groups_ = 0;    // of their codes
  const CodeSpace* space_;
  std::optional<CodeSpace> own_space_;  // of the first vectors read
  std::optional<Chunk> resident_;
};

}  // namespace tutti
