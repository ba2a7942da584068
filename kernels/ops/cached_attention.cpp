#include "kernels/ops/cached_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/clones.h"
#include "kernels/ops/causal_attention_cpu.h"
#include "kernels/ops/softmax_cpu.h"

namespace tutti {
namespace {

constexpr std::int64_t kLargestHead = 512;

template <class T>
TUTTI_INLINE void add_scaled(const T* __restrict value, float weight, std::int64_t size,
                             float* __restrict sum) {
#pragma omp simd
  for (std::int64_t i = 0; i < size; ++i) sum[i] += weight * float(value[i]);
}

TUTTI_CLONES void add_scaled_f32(const float* value, float weight, std::int64_t size, float* sum) {
  add_scaled(value, weight, size, sum);
}
TUTTI_CLONES void add_scaled_bf16(const bf16* value, float weight, std::int64_t size, float* sum) {
  add_scaled(value, weight, size, sum);
}
void add_row(const float* value, float weight, std::int64_t size, float* sum) {
  add_scaled_f32(value, weight, size, sum);
}
void add_row(const bf16* value, float weight, std::int64_t size, float* sum) {
  add_scaled_bf16(value, weight, size, sum);
}

}  // namespace

template <class T>
void cached_attention(const T* query, const T* keys, const T* values, std::int64_t count,
                      std::int64_t size, float* scores, T* out) {
  for (std::int64_t c = 0; c < count; ++c) scores[c] = cpu::dot_row(query, keys + c * size, size);
  cpu::softmax_row(scores, count, count, 1.0f / std::sqrt(static_cast<float>(size)), scores);
  for (std::int64_t first = 0; first < size; first += kLargestHead) {
    float sum[kLargestHead] = {};
    const std::int64_t part = std::min(kLargestHead, size - first);
    for (std::int64_t c = 0; c < count; ++c)
      add_row(values + c * size + first, scores[c], part, sum);
    for (std::int64_t i = 0; i < part; ++i) store(out[first + i], sum[i]);
  }
}

template void cached_attention(const float*, const float*, const float*, std::int64_t, std::int64_t,
                               float*, float*);
template void cached_attention(const bf16*, const bf16*, const bf16*, std::int64_t, std::int64_t,
                               float*, bf16*);

}  // namespace tutti
