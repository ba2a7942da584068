#include "runtime/data/id_key.h"

#include <xxhash.h>

namespace tutti {

IdKey id_key(std::string_view id) {
  const XXH128_hash_t hash = XXH3_128bits(id.data(), id.size());
  return {hash.high64, hash.low64};
}

}  // namespace tutti
