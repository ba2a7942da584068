// Candidates of queries over all ranks, each of which has looked at some of the vectors.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/vector/candidates.h"
#include "kernels/vector/code_space.h"
#include "kernels/vector/distance.h"
#include "runtime/comm/comm.h"

namespace tutti {

// All collective, of the same queries on all ranks.

// The codes of all queries, of which each rank makes a part.
QueryCodes encode_together(Comm& comm, const CodeSpace& space, ConstMatrixView<float> queries);

// Brings each query's limit down to the key that, of all ranks' candidates, `depth` do not exceed.
// The candidates must be settled.
void share_limits(Comm& comm, Candidates& candidates);

// Of each query in this rank's part, the k nearest of the `depth` candidates with the least (key,
// id) that any rank has found: k places a query, padded.
std::vector<Neighbor> nearest_of_all(Comm& comm, std::vector<std::vector<RankedNeighbor>> found,
                                     std::int64_t depth, std::int64_t k);

}  // namespace tutti
