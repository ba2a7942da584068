// Memory of the device, and of the host where the device reaches it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include <cuda_runtime.h>

namespace tutti::cuda {

namespace detail {

// Aligned to 256 bytes at least. Throw DeviceError.
void* allocate_device(std::int64_t bytes);
void free_device(void* memory);
void* allocate_pinned(std::int64_t bytes);
void free_pinned(void* memory);
void copy(void* to, const void* from, std::int64_t bytes, cudaStream_t stream);

}  // namespace detail

// An owning array whose contents are undefined at first. Movable, not copyable.
template <class T, void* (*allocate)(std::int64_t), void (*release)(void*)>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::int64_t size) { grow(size); }

  // Makes room for at least `size` elements. Memory that is large enough is kept as it is;
  // otherwise it is replaced and the old contents are lost.
  void grow(std::int64_t size) {
    if (size <= size_) return;
    memory_.reset();
    size_ = 0;
    memory_.reset(static_cast<T*>(allocate(size * std::int64_t(sizeof(T)))));
    size_ = size;
  }

  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  std::int64_t size() const { return size_; }
  std::span<T> span() { return {data(), static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const { return {data(), static_cast<std::size_t>(size_)}; }

 private:
  struct Free {
    void operator()(T* memory) const { release(memory); }
  };
  std::unique_ptr<T[], Free> memory_;
  std::int64_t size_ = 0;
};

// What only kernels and copies may touch.
template <class T>
using DeviceBuffer = Buffer<T, detail::allocate_device, detail::free_device>;
// Host memory that copies to and from the device run at full speed with, behind the host's back.
template <class T>
using PinnedBuffer = Buffer<T, detail::allocate_pinned, detail::free_pinned>;

// Copies `from`, as long as `to`, in the stream; either may stand on either side.
template <class T>
void copy(std::span<const T> from, std::span<T> to, cudaStream_t stream) {
  detail::copy(to.data(), from.data(), std::int64_t(to.size_bytes()), stream);
}

// Pieces of one allocation, planned before it is made: plan() all, then allocate(), then at().
class DeviceArena {
 public:
  // Room for `count` elements of T; returns where it is going to stand.
  template <class T>
  std::int64_t plan(std::int64_t count) {
    const std::int64_t place = bytes_;
    bytes_ += (count * std::int64_t(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return place;
  }
  void allocate() { memory_.grow(bytes_); }
  template <class T>
  T* at(std::int64_t place) {
    return reinterpret_cast<T*>(memory_.data() + place);
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  static constexpr std::int64_t kAlignment = 256;
  std::int64_t bytes_ = 0;
  DeviceBuffer<unsigned char> memory_;
};

}  // namespace tutti::cuda
