#include <algorithm>

#include "kernels/cuda/arrays_cuda.h"
#include "kernels/cuda/memory.h"
#include "kernels/device/cuda_session.h"

namespace tutti::cuda {
namespace {

template <class Array>
class OwnedArray final : public DeviceArray {
 public:
  explicit OwnedArray(std::int64_t size) : array_(size) {}
  std::span<float> span() override { return array_.span(); }

 private:
  Array array_;
};

class Memory final : public DeviceMemory {
 public:
  explicit Memory(SessionState& state) : stream_(state.stream) {}

  std::unique_ptr<DeviceArray> make_array(std::int64_t size) override {
    auto array = std::make_unique<OwnedArray<DeviceBuffer<float>>>(size);
    zero(array->span());
    return array;
  }
  std::unique_ptr<DeviceArray> make_host_array(std::int64_t size) override {
    auto array = std::make_unique<OwnedArray<PinnedBuffer<float>>>(size);
    std::ranges::fill(array->span(), 0.0f);
    return array;
  }

  void zero(std::span<float> values) override {
    if (values.empty()) return;
    check(cudaMemsetAsync(values.data(), 0, values.size_bytes(), stream_), "cudaMemsetAsync");
  }
  void add(std::span<const float> from, std::span<float> to) override {
    cuda::add(from, to, stream_);
  }
  void copy(std::span<const float> from, std::span<float> to) override {
    cuda::copy(from, to, stream_);
  }
  void swap(std::span<float> a, std::span<float> b) override { cuda::swap(a, b, stream_); }
  void synchronize() override { stream_.synchronize(); }

 private:
  Stream& stream_;
};

}  // namespace

std::unique_ptr<DeviceMemory> make_device_memory(SessionState& state) {
  return std::make_unique<Memory>(state);
}

}  // namespace tutti::cuda
