// Arrays of floats in a device's memory, whichever device that is. Spans of them are addresses
// alone: the host reads and writes them by copies.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace tutti {

// An owning array, of a device or of host memory that it copies at full speed to and from.
class DeviceArray {
 public:
  virtual ~DeviceArray() = default;
  virtual std::span<float> span() = 0;
};

// Work is put into one queue, in order, and goes on behind the caller, unless stated otherwise.
// All throw DeviceError.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // Zeroed.
  virtual std::unique_ptr<DeviceArray> make_array(std::int64_t size) = 0;
  virtual std::unique_ptr<DeviceArray> make_host_array(std::int64_t size) = 0;

  virtual void zero(std::span<float> values) = 0;
  // to += from.
  virtual void add(std::span<const float> from, std::span<float> to) = 0;
  // As long as each other, on either side. The host's end must stay as it is until synchronize().
  virtual void copy(std::span<const float> from, std::span<float> to) = 0;
  virtual void swap(std::span<float> a, std::span<float> b) = 0;
  // Waits until all is done.
  virtual void synchronize() = 0;
};

}  // namespace tutti
