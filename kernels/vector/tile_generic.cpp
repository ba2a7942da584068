#include "kernels/vector/tile_kernel.h"

namespace tutti {
namespace {

// Plain loops: whatever the compiler makes of them, and a call of fmaf where the CPU has no fused
// multiply-add.
struct GenericLanes {
  static constexpr int kWidth = 16;
  static constexpr int kMaxGroups = 1;
  static constexpr int kMaxQueries = 1;

  float r[kWidth];

  TUTTI_INLINE static GenericLanes load(const float* from) {
    GenericLanes a;
    for (int i = 0; i < kWidth; ++i) a.r[i] = from[i];
    return a;
  }
  TUTTI_INLINE static GenericLanes broadcast(float x) {
    GenericLanes a;
    for (int i = 0; i < kWidth; ++i) a.r[i] = x;
    return a;
  }
  TUTTI_INLINE static GenericLanes zero() { return broadcast(0); }
  TUTTI_INLINE static GenericLanes subtract(const GenericLanes& a, const GenericLanes& b) {
    GenericLanes c;
    for (int i = 0; i < kWidth; ++i) c.r[i] = a.r[i] - b.r[i];
    return c;
  }
  TUTTI_INLINE static GenericLanes fma(const GenericLanes& a, const GenericLanes& b,
                                       const GenericLanes& c) {
    GenericLanes d;
    for (int i = 0; i < kWidth; ++i) d.r[i] = __builtin_fmaf(a.r[i], b.r[i], c.r[i]);
    return d;
  }
  TUTTI_INLINE void store(float* to) const {
    for (int i = 0; i < kWidth; ++i) to[i] = r[i];
  }
  TUTTI_INLINE std::uint64_t not_above(const GenericLanes& limit) const {
    std::uint64_t marks = 0;
    for (int i = 0; i < kWidth; ++i) marks |= std::uint64_t{!(r[i] > limit.r[i])} << i;
    return marks;
  }
};

}  // namespace

constexpr TileKernels kTilesGeneric = kernels_of<GenericLanes>("generic");

}  // namespace tutti
