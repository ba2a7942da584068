// How logical pieces (shards, micro-batches, blocks) are shared out over ranks: contiguous, as even
// as possible.
#pragma once

#include <cstdint>

namespace tutti {

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  bool contains(std::int64_t i) const { return i >= begin && i < end; }
  bool operator==(const Range&) const = default;
};

// The pieces of part `index` of `parts`; the first (count % parts) parts get one more. Empty where
// there are more parts than pieces.
constexpr Range part_of(std::int64_t count, std::int64_t parts, std::int64_t index) {
  const std::int64_t each = count / parts, extra = count % parts;
  const std::int64_t begin = index * each + (index < extra ? index : extra);
  return {begin, begin + each + (index < extra ? 1 : 0)};
}

// The part that holds piece `item`: the inverse of part_of.
constexpr std::int64_t owner_of(std::int64_t count, std::int64_t parts, std::int64_t item) {
  const std::int64_t each = count / parts, extra = count % parts;
  const std::int64_t fat = extra * (each + 1);
  return item < fat ? item / (each + 1) : extra + (item - fat) / each;
}

}  // namespace tutti
