// Which GPU is whose: one a rank.
#pragma once

#include <memory>

#include "kernels/device/device_backend.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Opens this rank's GPU: of those that the process sees, the one of its rank on the node.
// Collective. Throws Error(unavailable) on all ranks where there is none, where two ranks would
// share one, or where the GPUs are not of one model: bytes would depend on which ran what.
std::unique_ptr<DeviceSession> open_device(Comm& comm);

}  // namespace tutti
