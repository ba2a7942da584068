// Memory that is asked for before it is used.
#pragma once

#include <cstdint>

#include "kernels/core/clones.h"

namespace tutti {

// Has bytes [data, data + bytes) on their way into the cache. The address need not be valid.
TUTTI_INLINE void prefetch(const void* data, std::int64_t bytes) {
  constexpr std::int64_t kLine = 64;
  for (std::int64_t b = 0; b < bytes; b += kLine) {
    __builtin_prefetch(static_cast<const char*>(data) + b);
    // GCC 12 drops calls of functions that do nothing but prefetch: this is an effect.
    asm volatile("");
  }
}

}  // namespace tutti
