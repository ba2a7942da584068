// Candidates of queries over all ranks, each of which has looked at some of the vectors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector/candidates.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/distance.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"

namespace tutti {

using RankedNeighbors = std::vector<std::vector<RankedNeighbor>>;  // of each query

// All collective, of the same queries on all ranks.

// Rows of `cols` values each that ranks have made by part_of(rows, ...), on all ranks.
template <class T>
std::vector<T> gather_parts(Comm& comm, std::vector<T> mine, std::int64_t rows, std::int64_t cols) {
  if (comm.size() == 1) return mine;
  std::vector<T> all(std::size_t(rows * cols));
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < comm.size(); ++r)
    bytes.push_back(part_of(rows, comm.size(), r).size() * cols * std::int64_t(sizeof(T)));
  comm.all_gather_bytes(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)),
                        bytes);
  return all;
}

// The codes of all queries. Where they are many, each rank makes a part.
QueryCodes encode_together(Comm& comm, const CodeSpace& space, ConstMatrixView<float> queries);

// Brings each query's limit down to the key that, of all ranks' candidates, `depth` do not exceed.
// The candidates must be settled. Returns the queries that have fewer, ascending.
std::vector<std::int32_t> share_limits(Comm& comm, Candidates& candidates);

// Of each query in this rank's part, the k nearest of the `depth` candidates with the least (key,
// id) that any rank has found: k places a query, padded.
std::vector<Neighbor> nearest_of_all(Comm& comm, RankedNeighbors found, std::int64_t depth,
                                     std::int64_t k);

}  // namespace tutti
