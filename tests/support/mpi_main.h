// The world that all tests of an MPI test program share.
#pragma once

#include "runtime/comm/comm.h"

namespace tutti::testing {

Comm& world();

}  // namespace tutti::testing
