// Arrays that the host makes for each batch, on the device.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/stream.h"

namespace tutti::cuda {

template <class T>
class Upload {
 public:
  // Copies them behind the caller's back; they need not stay.
  void put(std::span<const T> values, cudaStream_t stream) {
    const auto size = std::ssize(values);
    copied_.wait();  // for the last copy, long done
    if (size > host_.size()) {
      host_.grow(size + size / 2);
      device_.grow(size + size / 2);
    }
    std::ranges::copy(values, host_.data());
    copy(std::span<const T>(host_.span().first(values.size())), device_.span().first(values.size()),
         stream);
    copied_.record(stream);
  }
  const T* data() const { return device_.data(); }

 private:
  PinnedBuffer<T> host_;
  DeviceBuffer<T> device_;
  Event copied_;
};

}  // namespace tutti::cuda
