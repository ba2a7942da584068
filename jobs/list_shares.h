// Which rank of a search scans which parts of an index's lists.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "jobs/list_chunk.h"
#include "runtime/comm/partition.h"

namespace tutti {

// The lists of consecutive shards, where they stand, in order of entry; without those of which no
// entry is wanted. `wanted`: of all entries; nothing where all are. Local; throws Error(data)
// naming the file where the table of lists does not fit the entries.
std::vector<ListPiece> lists_in(const IndexFolder& index, Range shards, const EntrySet* wanted);

// Shares of the ranks so that each compares about as many vectors with queries: shares[r] is what
// rank r has, and probes[l] says how often list l is looked into. Where a rank has a sixteenth more
// to do than the mean, it hands the lists that are looked into most, which are the fewest vectors
// for the work, to ranks that have less; a list that is more than it has to give is cut. The pieces
// of each rank are in order of entry. A function of the arguments alone.
std::vector<std::vector<ListPiece>> balance_scans(std::vector<std::vector<ListPiece>> shares,
                                                  std::span<const std::int64_t> probes,
                                                  const EntrySet* wanted);

}  // namespace tutti
