// Which documents are held out of training: a function of the document alone.
#pragma once

#include <cstdint>
#include <string_view>

namespace tutti {

inline constexpr std::uint8_t kTrainSplit = 0;
inline constexpr std::uint8_t kHeldoutSplit = 1;

// kHeldoutSplit for about `heldout_share` (0 to 1) of all ids, by XXH64 of the id with `seed`: the
// same for an id whatever else is in the input.
std::uint8_t split_of(std::string_view id, double heldout_share, std::uint64_t seed);

}  // namespace tutti
