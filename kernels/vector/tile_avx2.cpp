#include <immintrin.h>

#include "kernels/vector/tile_kernel.h"

namespace tutti {
namespace {

struct Avx2Lanes {
  static constexpr int kWidth = 8;
  static constexpr int kMaxGroups = 1;
  static constexpr int kMaxQueries = 4;

  __m256 r;

  TUTTI_INLINE static Avx2Lanes load(const float* from) { return {_mm256_load_ps(from)}; }
  TUTTI_INLINE static Avx2Lanes broadcast(float x) { return {_mm256_set1_ps(x)}; }
  TUTTI_INLINE static Avx2Lanes zero() { return {_mm256_setzero_ps()}; }
  TUTTI_INLINE static Avx2Lanes subtract(Avx2Lanes a, Avx2Lanes b) {
    return {_mm256_sub_ps(a.r, b.r)};
  }
  TUTTI_INLINE static Avx2Lanes fma(Avx2Lanes a, Avx2Lanes b, Avx2Lanes c) {
    return {_mm256_fmadd_ps(a.r, b.r, c.r)};
  }
  TUTTI_INLINE void store(float* to) const { _mm256_store_ps(to, r); }
  TUTTI_INLINE std::uint64_t not_above(Avx2Lanes limit) const {
    const __m256 marks = _mm256_cmp_ps(r, limit.r, _CMP_NGT_UQ);
    return static_cast<std::uint32_t>(_mm256_movemask_ps(marks));
  }
};

}  // namespace

constexpr TileKernels kTilesAvx2 = kernels_of<Avx2Lanes>("avx2");

}  // namespace tutti
