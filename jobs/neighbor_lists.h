// Neighbours of queries, as many as each has.
#pragma once

#include <vector>

#include "jobs/found_neighbor.h"
#include "kernels/vector/top_k.h"
#include "runtime/comm/comm.h"

namespace tutti {

using NeighborLists = QueryLists<Neighbor>;

// What all ranks have found of the same queries, of each query the first k by (distance, id), on
// the root, and no queries elsewhere: the same whatever was found where. Collective.
NeighborLists merge_lists(Comm& comm, std::vector<TopK> found);

// What the ranks have, behind one another, on the root, and nothing elsewhere. Collective.
std::vector<Neighbor> gather_on_root(Comm& comm, std::vector<Neighbor> mine);

}  // namespace tutti
