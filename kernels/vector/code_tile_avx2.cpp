#include <immintrin.h>

#include "kernels/vector/code_tile_kernel.h"

namespace tutti {
namespace {

// Products of unsigned with signed bytes by way of 16 bits: the instruction for bytes saturates.
TUTTI_INLINE __m256i byte_products(__m256i vectors, __m256i query) {
  const __m256i low = _mm256_and_si256(vectors, _mm256_set1_epi16(0x00ff));
  const __m256i high = _mm256_srli_epi16(vectors, 8);
  const __m256i query_low = _mm256_srai_epi16(_mm256_slli_epi16(query, 8), 8);
  const __m256i query_high = _mm256_srai_epi16(query, 8);
  return _mm256_add_epi32(_mm256_madd_epi16(low, query_low), _mm256_madd_epi16(high, query_high));
}

struct Avx2Lanes {
  static constexpr int kWidth = 8;
  static constexpr std::uint64_t kAll = (1 << kWidth) - 1;
  static constexpr int kMaxGroups = 1;
  static constexpr int kMaxQueries = 4;

  __m256i r;

  TUTTI_INLINE static Avx2Lanes load(const void* from) {
    return {_mm256_load_si256(static_cast<const __m256i*>(from))};
  }
  TUTTI_INLINE static Avx2Lanes broadcast(const void* four) {
    std::int32_t bits;
    __builtin_memcpy(&bits, four, 4);
    return {_mm256_set1_epi32(bits)};
  }
  TUTTI_INLINE static Avx2Lanes subtract(Avx2Lanes a, Avx2Lanes b) {
    return {_mm256_sub_epi32(a.r, b.r)};
  }
  TUTTI_INLINE static Avx2Lanes both(Avx2Lanes a, Avx2Lanes b) {
    return {_mm256_and_si256(a.r, b.r)};
  }
  TUTTI_INLINE static Avx2Lanes multiply_add(Avx2Lanes sum, Avx2Lanes vectors, Avx2Lanes query) {
    return {_mm256_add_epi32(sum.r, byte_products(vectors.r, query.r))};
  }
  TUTTI_INLINE void store(std::int32_t* to) const {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), r);
  }
  TUTTI_INLINE std::uint64_t negative() const {
    return static_cast<std::uint64_t>(_mm256_movemask_ps(_mm256_castsi256_ps(r)));
  }

  static constexpr int kDots = 1;
  TUTTI_INLINE static void dots(const std::uint8_t* const* vectors,
                                const std::int8_t* const* queries, std::int64_t count,
                                std::int32_t* products) {
    const std::uint8_t* vector = vectors[0];
    const std::int8_t* query = queries[0];
    __m256i sum = _mm256_setzero_si256();
    for (std::int64_t j = 0; j < count; j += 32)
      sum = _mm256_add_epi32(
          sum, byte_products(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(vector + j)),
                             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + j))));
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    *products = _mm_cvtsi128_si32(half);
  }

  TUTTI_INLINE static std::size_t collect(const std::int32_t* values, std::int32_t least,
                                          std::int32_t first, std::int32_t* places) {
    return collect_16(values, least, first, places);
  }
  TUTTI_INLINE static std::size_t count(const std::int32_t* values, std::size_t size,
                                        std::int32_t least) {
    return count_plainly(values, size, least);
  }
};

}  // namespace

constexpr CodeKernels kCodesAvx2 = code_kernels_of<Avx2Lanes>("avx2");

}  // namespace tutti
