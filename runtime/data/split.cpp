#include "runtime/data/split.h"

#include <xxhash.h>

namespace tutti {

std::uint8_t split_of(std::string_view id, double heldout_share, std::uint64_t seed) {
  const double uniform = double(XXH64(id.data(), id.size(), seed) >> 11) * 0x1p-53;
  return uniform < heldout_share ? kHeldoutSplit : kTrainSplit;
}

}  // namespace tutti
