// Scans the inverted lists that are one rank's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "jobs/list_chunk.h"
#include "jobs/list_reader.h"
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

// Codes for scans.
struct ScannedCodes {
  bool worth_it = false;                 // there are so many queries that they are worth making
  const CodeSpace* space = nullptr;      // theirs; if none, one that suits the first vectors read
  CodeParts ranking = CodeParts::whole;  // what ranked scans go by
};

// Where only some entries are wanted, nothing of the others is kept or scanned: what remains of
// their lists is shorter lists. For many queries, vectors get codes, by which scans are fast. What
// fits stays in memory: vectors and codes; else, for ranked scans, the codes, and of the vectors
// those that candidates ask for are read. Otherwise, as for few queries, each scan reads the lists
// that it looks at, piece by piece. What is found for row q of the queries is added to results[q];
// it depends neither on who scans which lists nor on memory_bytes. Local. Throws Error(data) naming
// file and block where the index is damaged.
class ListScanner {
 public:
  // Reads the pieces, or scans read them; they are in order of entry. Vectors in memory at a time
  // take up to `memory_bytes`, or one vector. `wanted`: which entries; all where it is not given.
  // The index and the codes' space must outlive the scanner.
  ListScanner(const IndexFolder& index, std::span<const ListPiece> pieces,
              std::int64_t memory_bytes, const ScannedCodes& codes,
              std::optional<EntrySet> wanted = std::nullopt);
  ListScanner(const ListScanner&) = delete;
  ListScanner& operator=(const ListScanner&) = delete;

  // Those that are wanted.
  std::int64_t entries() const { return entries_; }
  // Whether all lists are in memory, so that one more scan of some of them costs little.
  bool is_resident() const { return resident_.has_value() || pieces_.empty(); }
  // Makes the codes that ranked scans look at, once, where they fit beside what other scans read
  // and lists are not resident.
  void load_codes();
  // Whether they are in memory, and the vectors are not.
  bool has_codes() const { return codes_.has_value(); }

  // How many vectors were compared with queries, a vector with a query being one.
  std::int64_t compared() const { return compared_; }
  // Bytes of vectors, ids and codes that were in memory at a time, at most, since the lists or
  // their codes were read.
  std::int64_t held_bytes() const;

  // The lists that each query probes (-1 is none): list by list, each against all queries that
  // probe it.
  void scan_probed(const ProbingQueries& queries, std::span<TopK> results);
  // All lists.
  void scan_all(ConstMatrixView<float> queries, std::span<TopK> results);

  // The lists that each query probes, by codes in the given space alone (ranked_scan.h):
  // what is among the `depth` least keys, measured. More may be added.
  void rank_probed(const ProbingQueries& queries, const QueryCodes& codes, std::int64_t depth,
                   std::span<std::vector<RankedNeighbor>> results);
  // The same in steps, where is_resident() or has_codes(): candidates, to which each call adds what
  // it finds, and which are measured in the end.
  Candidates make_candidates(std::int64_t queries, std::int64_t depth) const;
  void rank_probed(const ProbingQueries& queries, const QueryCodes& codes, Candidates& candidates);
  void measure(ConstMatrixView<float> queries, Candidates& candidates,
               std::span<std::vector<RankedNeighbor>> results);

 private:
  // The rows of the query matrix that probe list i, one of this rank's: members[starts[i],
  // starts[i + 1]), ascending.
  struct Probers {
    std::vector<std::int64_t> starts;
    std::vector<std::int32_t> members;
  };

  void add_pieces(const ListPiece& piece, std::int64_t most);
  bool fits(std::int64_t entries, std::int64_t groups) const;
  // What ranked scans look at, where it is in memory.
  const ListChunk* ranked() const { return resident_ ? &*resident_ : codes_ ? &*codes_ : nullptr; }
  ListChunk load(std::span<const ListPiece> pieces, bool with_codes);
  void choose_space(const ListChunk& chunk);
  Probers group_by_list(ConstMatrixView<std::int32_t> probes) const;
  std::span<const std::int32_t> probers_of(const Probers& probers, std::int64_t list) const;
  std::vector<CodedList> coded_lists(const ListChunk& chunk, const Probers& probers);
  void scan_plain_chunk(ConstMatrixView<float> queries, const ListChunk& chunk,
                        const Probers& probers, std::span<TopK> results);
  template <class Scan>
  void visit_chunks(const Probers& probers, bool with_codes, Scan&& scan);
  void scan_probers(ConstMatrixView<float> queries, const Probers& probers,
                    std::span<TopK> results);

  const IndexFolder& index_;
  ListReader reader_;
  std::int64_t memory_bytes_;
  std::int64_t entry_bytes_, group_bytes_;  // of vectors with their ids, and of codes, at most
  std::vector<bool> has_list_;              // any of whose entries are scanned
  bool by_codes_;
  CodeParts ranking_;
  std::vector<ListPiece> pieces_;  // in order of entry
  std::int64_t entries_ = 0;       // of all pieces, wanted ones
  std::int64_t groups_ = 0;        // of their codes
  const CodeSpace* space_;
  std::optional<CodeSpace> own_space_;  // of the first vectors read
  std::optional<ListChunk> resident_;
  bool tried_codes_ = false;
  std::optional<ListChunk> codes_;  // of all lists, where nothing is resident
  std::int64_t most_loaded_ = 0;    // bytes of what a scan read
  std::int64_t compared_ = 0;
};

}  // namespace tutti
