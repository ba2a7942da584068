// How fast this machine multiplies, to compare a run with.
#pragma once

#include <chrono>

#include "kernels/core/dtype.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Floating-point operations a second of products of a transformer's usual shape in `type`, on all
// threads of this rank: the best within `time`. Local.
double measure_product_rate(DType type, std::chrono::milliseconds time);

// The same of all ranks together, taken to be as fast as the root. The user's cache (user_cache.h)
// keeps the best that was measured for a processor, its threads and ranks, the type and our
// version; where it has one, a start takes only a glance. Collective.
double product_rate_of_all_ranks(Comm& comm, DType type);

}  // namespace tutti
