// GCC 12 warns of the deliberately undefined operands in its own header (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "kernels/vector/code_tile_kernel.h"

namespace tutti {
namespace {

struct VnniLanes {
  static constexpr int kWidth = 16;
  static constexpr std::uint64_t kAll = (1 << kWidth) - 1;
  static constexpr int kMaxGroups = 3;
  static constexpr int kMaxQueries = 8;

  __m512i r;

  TUTTI_INLINE static VnniLanes load(const void* from) { return {_mm512_load_si512(from)}; }
  TUTTI_INLINE static VnniLanes broadcast(const void* four) {
    std::int32_t bits;
    __builtin_memcpy(&bits, four, 4);
    return {_mm512_set1_epi32(bits)};
  }
  TUTTI_INLINE static VnniLanes subtract(VnniLanes a, VnniLanes b) {
    return {_mm512_sub_epi32(a.r, b.r)};
  }
  TUTTI_INLINE static VnniLanes both(VnniLanes a, VnniLanes b) {
    return {_mm512_and_si512(a.r, b.r)};
  }
  TUTTI_INLINE static VnniLanes multiply_add(VnniLanes sum, VnniLanes vectors, VnniLanes query) {
    // Not the intrinsic, with which GCC 12 keeps the sums in memory: half the speed.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.r) : "v"(vectors.r), "v"(query.r));
    return sum;
  }
  TUTTI_INLINE void store(std::int32_t* to) const { _mm512_store_si512(to, r); }
  TUTTI_INLINE std::uint64_t negative() const { return _mm512_movepi32_mask(r); }

  static constexpr int kDots = 4;
  TUTTI_INLINE static void dots(const std::uint8_t* const* vectors,
                                const std::int8_t* const* queries, std::int64_t count,
                                std::int32_t* products) {
    __m512i sums[kDots] = {};
    for (std::int64_t j = 0; j < count; j += 64)
#pragma GCC unroll 4
      for (int i = 0; i < kDots; ++i)
        asm("vpdpbusd %2, %1, %0"
            : "+v"(sums[i])
            : "v"(_mm512_loadu_si512(vectors[i] + j)), "v"(_mm512_loadu_si512(queries[i] + j)));
    const auto both = [](__m512i a, __m512i b) __attribute__((always_inline)) {
      return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    };
    const __m512i first = both(sums[0], sums[1]), last = both(sums[2], sums[3]);
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(first, last), _mm512_unpackhi_epi64(first, last));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(products),
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
  }

  TUTTI_INLINE static std::size_t collect(const std::int32_t* values, std::int32_t least,
                                          std::int32_t first, std::int32_t* places) {
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __mmask16 large =
        _mm512_cmpge_epi32_mask(_mm512_loadu_si512(values), _mm512_set1_epi32(least));
    _mm512_storeu_si512(places, _mm512_maskz_compress_epi32(
                                    large, _mm512_add_epi32(lanes, _mm512_set1_epi32(first))));
    return static_cast<std::size_t>(__builtin_popcount(large));
  }
  TUTTI_INLINE static std::size_t count(const std::int32_t* values, std::size_t size,
                                        std::int32_t least) {
    const __m512i bound = _mm512_set1_epi32(least);
    std::size_t found = 0, i = 0;
    const auto add = [&](__mmask16 wanted) __attribute__((always_inline)) {
      const __m512i next = _mm512_maskz_loadu_epi32(wanted, values + i);
      found += std::size_t(__builtin_popcount(_mm512_mask_cmpge_epi32_mask(wanted, next, bound)));
    };
    for (; i + kWidth <= size; i += kWidth) add(0xffff);
    if (i < size) add(static_cast<__mmask16>((1u << (size - i)) - 1));
    return found;
  }
};

}  // namespace

constexpr CodeKernels kCodesAvx512Vnni = code_kernels_of<VnniLanes>("avx512vnni");

}  // namespace tutti
