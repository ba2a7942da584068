#include "kernels/vector/tile.h"

namespace tutti {

std::span<const TileKernels* const> available_tile_kernels() {
  static constexpr const TileKernels* kAll[] = {&kTilesGeneric};
  return kAll;
}

}  // namespace tutti
