// Memory that direct I/O takes: aligned to 4096 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace tutti {

inline constexpr std::int64_t kPageBytes = 4096;

inline bool is_page_aligned(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % std::uintptr_t(kPageBytes) == 0;
}

// An owning, page-aligned array of bytes, not initialised. Movable.
class PageBuffer {
 public:
  PageBuffer() = default;
  // `bytes`: a multiple of kPageBytes.
  explicit PageBuffer(std::int64_t bytes)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, std::size_t(bytes)))) {
    if (!memory_) throw std::bad_alloc();
  }

  explicit operator bool() const { return bool(memory_); }
  std::byte* data() const { return memory_.get(); }
  // The first `bytes` bytes.
  std::span<std::byte> first(std::int64_t bytes) const {
    return {memory_.get(), std::size_t(bytes)};
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte[], Free> memory_;
};

}  // namespace tutti
