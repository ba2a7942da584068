// External ids as keys of one width.
#pragma once

#include <cstdint>
#include <string_view>

namespace tutti {

// An integer, or 128 bits of hash, which no two strings share in practice.
struct IdKey {
  std::uint64_t high = 0, low = 0;
  bool operator==(const IdKey&) const = default;
};

constexpr IdKey id_key(std::int64_t id) { return {0, std::uint64_t(id)}; }
IdKey id_key(std::string_view id);

}  // namespace tutti
