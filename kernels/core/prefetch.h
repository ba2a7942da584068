// Memory that is asked for before it is used.
#pragma once

#include <cstdint>

#include "kernels/core/clones.h"

namespace tutti {

// Has bytes [data, data + bytes) on their way into the cache. The address need not be valid.
TUTTI_INLINE void prefetch(const void* data, std::int64_t bytes) {
  constexpr std::uintptr_t kLine = 64;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  for (std::uintptr_t at = begin / kLine * kLine; at < begin + std::uintptr_t(bytes); at += kLine) {
    __builtin_prefetch(reinterpret_cast<const char*>(at));
    // GCC 12 drops calls of functions that do nothing but prefetch: this is an effect.
    asm volatile("");
  }
}

}  // namespace tutti
