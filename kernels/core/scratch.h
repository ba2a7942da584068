// Scratch memory for the threads of parallel loops, kept between loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"

namespace tutti {

// A fixed number of slots for each thread; each slot is a buffer that only grows. Call prepare()
// before a parallel loop, get() within it.
class ThreadScratch {
 public:
  explicit ThreadScratch(int slots) : slots_(slots) {}

  // Makes slots for every thread that a loop started now would have.
  void prepare() {
    const auto wanted = static_cast<std::size_t>(thread_count()) * slots_;
    if (buffers_.size() < wanted) buffers_.resize(wanted);
  }

  // At least `count` elements of T in the calling thread's slot. The contents are whatever was
  // there; they stay until the next get() of the same slot.
  template <class T>
  T* get(int slot, std::int64_t count) {
    AlignedBuffer<std::byte>& buffer = buffers_[thread_index() * slots_ + slot];
    buffer.grow(count * static_cast<std::int64_t>(sizeof(T)));
    return reinterpret_cast<T*>(buffer.data());
  }

 private:
  int slots_;
  std::vector<AlignedBuffer<std::byte>> buffers_;
};

}  // namespace tutti
