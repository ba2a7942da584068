// What the tests of the device's code share. On the real device and on the fake one.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/device/device_backend.h"
#include "tests/kernels/support.h"

namespace tutti::test {

// The backend under test, and one session of its first device.
DeviceBackend& backend();
DeviceSession& session();

// A stream of its own.
cudaStream_t stream();
void synchronize();

// A copy on the device, with memory of its own so that what is written behind it shows.
template <class T>
cuda::DeviceBuffer<T> on_device(const std::vector<T>& values) {
  cuda::DeviceBuffer<T> buffer(std::ssize(values));
  cuda::copy(std::span<const T>(values), buffer.span(), stream());
  synchronize();
  return buffer;
}

template <class T>
std::vector<T> on_host(const cuda::DeviceBuffer<T>& buffer) {
  std::vector<T> values(static_cast<std::size_t>(buffer.size()));
  cuda::copy(buffer.span(), std::span<T>(values), stream());
  synchronize();
  return values;
}

}  // namespace tutti::test
