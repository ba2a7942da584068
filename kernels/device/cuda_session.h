// One GPU as the jobs see it. Private to the backend.
#pragma once

#include <memory>

#include "kernels/cuda/product.h"
#include "kernels/cuda/stream.h"
#include "kernels/device/device_backend.h"

namespace tutti::cuda {

// What everything on one GPU shares.
struct SessionState {
  Stream stream;
  Products products;
};

std::unique_ptr<DeviceMemory> make_device_memory(SessionState& state);
std::unique_ptr<DeviceOptimizer> make_device_optimizer(SessionState& state);
double measure_products(SessionState& state, DType compute);
// Of the device that is current on this thread.
std::unique_ptr<DeviceSession> make_session();

}  // namespace tutti::cuda
