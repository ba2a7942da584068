// How fast this machine multiplies, to compare a run with.
#pragma once

#include "kernels/core/dtype.h"

namespace tutti {

// Floating-point operations a second of products of a transformer's usual shape in `type`, on all
// threads of this rank; takes some 50 ms. Local.
double measure_product_rate(DType type);

}  // namespace tutti
