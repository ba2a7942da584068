#include "kernels/ops/rows_cpu.h"

#include "kernels/core/clones.h"

namespace tutti::cpu {
namespace {

template <class T>
TUTTI_INLINE void add(const float* a, const float* b, std::int64_t cols, T* out) {
  if (b == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < cols; ++i) store(out[i], a[i]);
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < cols; ++i) store(out[i], a[i] + b[i]);
  }
}

template <class T>
TUTTI_INLINE void accumulate(const T* __restrict x, std::int64_t cols, float* __restrict sum) {
#pragma omp simd
  for (std::int64_t i = 0; i < cols; ++i) sum[i] += float(x[i]);
}

TUTTI_CLONES void add_f32(const float* a, const float* b, std::int64_t cols, float* out) {
  add(a, b, cols, out);
}
TUTTI_CLONES void add_bf16(const float* a, const float* b, std::int64_t cols, bf16* out) {
  add(a, b, cols, out);
}
TUTTI_CLONES void accumulate_f32(const float* x, std::int64_t cols, float* sum) {
  accumulate(x, cols, sum);
}
TUTTI_CLONES void accumulate_bf16(const bf16* x, std::int64_t cols, float* sum) {
  accumulate(x, cols, sum);
}

}  // namespace

void add_rows(const float* a, const float* b, std::int64_t cols, float* out) {
  add_f32(a, b, cols, out);
}
void add_rows(const float* a, const float* b, std::int64_t cols, bf16* out) {
  add_bf16(a, b, cols, out);
}
void accumulate_row(const float* x, std::int64_t cols, float* sum) { accumulate_f32(x, cols, sum); }
void accumulate_row(const bf16* x, std::int64_t cols, float* sum) { accumulate_bf16(x, cols, sum); }

}  // namespace tutti::cpu
