#include "kernels/vector/tile.h"

namespace tutti {

std::span<const TileKernels* const> available_tile_kernels() {
  static constexpr const TileKernels* kAll[] = {&kTilesAvx512, &kTilesAvx2, &kTilesGeneric};
  const std::span<const TileKernels* const> all(kAll);
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return all.subspan(2);
  return __builtin_cpu_supports("avx512f") ? all : all.subspan(1);
}

}  // namespace tutti
