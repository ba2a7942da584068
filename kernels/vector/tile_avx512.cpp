#include <immintrin.h>

#include "kernels/vector/tile_kernel.h"

namespace tutti {
namespace {

struct Avx512Lanes {
  static constexpr int kWidth = 16;
  static constexpr int kMaxGroups = 3;
  static constexpr int kMaxQueries = 8;

  __m512 r;

  TUTTI_INLINE static Avx512Lanes load(const float* from) { return {_mm512_load_ps(from)}; }
  TUTTI_INLINE static Avx512Lanes broadcast(float x) { return {_mm512_set1_ps(x)}; }
  TUTTI_INLINE static Avx512Lanes zero() { return {_mm512_setzero_ps()}; }
  TUTTI_INLINE static Avx512Lanes subtract(Avx512Lanes a, Avx512Lanes b) {
    return {_mm512_sub_ps(a.r, b.r)};
  }
  TUTTI_INLINE static Avx512Lanes fma(Avx512Lanes a, Avx512Lanes b, Avx512Lanes c) {
    return {_mm512_fmadd_ps(a.r, b.r, c.r)};
  }
  TUTTI_INLINE void store(float* to) const { _mm512_store_ps(to, r); }
  TUTTI_INLINE std::uint64_t not_above(Avx512Lanes limit) const {
    return _mm512_cmp_ps_mask(r, limit.r, _CMP_NGT_UQ);
  }
};

}  // namespace

constexpr TileKernels kTilesAvx512 = kernels_of<Avx512Lanes>("avx512");

}  // namespace tutti
