// What our own kernels for AVX-512 share. Private to them.
#pragma once

#ifdef __x86_64__

#include <cstdint>

// GCC 12 warns of the deliberately undefined operands in its own header (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#define TUTTI_AVX512 __attribute__((target("arch=x86-64-v4")))
#define TUTTI_AVX512_BF16 __attribute__((target("arch=x86-64-v4,avx512bf16")))

namespace tutti::avx512 {

// A 16 x 16 block: to[c * to_row + r] = from[r * from_row + c].
TUTTI_AVX512 inline void transpose_block(const float* from, std::int64_t from_row, float* to,
                                         std::int64_t to_row) {
  __m512 x[16], y[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = _mm512_loadu_ps(from + i * from_row);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(y[i + j]), high = _mm512_castps_pd(y[i + j + 2]);
      x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
    y[i + 4] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xdd);
    y[i + 8] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
    y[i + 12] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm512_storeu_ps(to + i * to_row, _mm512_shuffle_f32x4(y[i], y[i + 8], 0x88));
    _mm512_storeu_ps(to + (i + 4) * to_row, _mm512_shuffle_f32x4(y[i + 4], y[i + 12], 0x88));
    _mm512_storeu_ps(to + (i + 8) * to_row, _mm512_shuffle_f32x4(y[i], y[i + 8], 0xdd));
    _mm512_storeu_ps(to + (i + 12) * to_row, _mm512_shuffle_f32x4(y[i + 4], y[i + 12], 0xdd));
  }
}

}  // namespace tutti::avx512

#endif
