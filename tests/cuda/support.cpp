#include "tests/cuda/support.h"

extern "C" tutti::DeviceBackend* tutti_device_backend(const char* interface);

namespace tutti::test {

DeviceBackend& backend() { return *tutti_device_backend(kDeviceInterface); }

DeviceSession& session() {
  static const std::unique_ptr<DeviceSession> instance = backend().open(0);
  return *instance;
}

cudaStream_t stream() {
  static const cuda::Stream instance;
  return instance;
}

void synchronize() { cuda::check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

}  // namespace tutti::test
