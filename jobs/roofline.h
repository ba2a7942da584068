// How fast this machine multiplies, to compare a run with.
#pragma once

#include "kernels/core/dtype.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Floating-point operations a second of products of a transformer's usual shape in `type`, on all
// threads of this rank; takes some 200 ms. Local.
double measure_product_rate(DType type);

// The same of all ranks together, taken to be as fast as the root. Measured once for a processor,
// its threads and ranks, the type and our version: the user's cache keeps it (user_cache.h).
// Collective.
double product_rate_of_all_ranks(Comm& comm, DType type);

}  // namespace tutti
