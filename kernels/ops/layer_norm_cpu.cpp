#include "kernels/ops/layer_norm_cpu.h"

#include <cmath>
#include <utility>

#include "kernels/core/clones.h"
#include "kernels/ops/layer_norm.h"

namespace tutti::cpu {
namespace {

// The row that is normalised, once it is summed up.
TUTTI_INLINE const float* sum_up(const NormRow& row) {
  if (row.added == nullptr) return row.base;
  const float* base = row.base;
  const float* __restrict added = row.added;
  const float* __restrict bias = row.added_bias;
  float* sum = row.sum;  // may be base itself, at the same index
  if (bias == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < row.cols; ++i) sum[i] = base[i] + added[i];
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < row.cols; ++i) sum[i] = base[i] + (added[i] + bias[i]);
  }
  return sum;
}

template <class T>
TUTTI_INLINE void normalise(const NormRow& row, T* __restrict out) {
  const float* __restrict x = sum_up(row);
  float mean = 0;
  if (row.centred) {
    float total = 0;
#pragma omp simd reduction(+ : total)
    for (std::int64_t i = 0; i < row.cols; ++i) total += x[i];
    mean = total / static_cast<float>(row.cols);
  }
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < row.cols; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(row.cols) + row.epsilon);
  const float* __restrict gain = row.gain;
  const float* __restrict bias = row.bias;
  if (row.centred) {
#pragma omp simd
    for (std::int64_t i = 0; i < row.cols; ++i)
      store(out[i], (x[i] - mean) * rstd * gain[i] + bias[i]);
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < row.cols; ++i) store(out[i], x[i] * rstd * gain[i]);
  }
  *row.mean = mean;
  *row.rstd = rstd;
}

TUTTI_CLONES void normalise_f32(const NormRow& row, float* out) { normalise(row, out); }
TUTTI_CLONES void normalise_bf16(const NormRow& row, bf16* out) { normalise(row, out); }

// Adds to the vectors' gradients; returns the sums of d_normal and of d_normal * normal.
TUTTI_INLINE std::pair<float, float> centred_sums(const NormRowGradient& row) {
  const float* __restrict d_out = row.d_out;
  const float* __restrict x = row.x;
  const float* __restrict gain = row.gain;
  float* __restrict d_gain = row.d_gain;
  float* __restrict d_bias = row.d_bias;
  const float mean = row.mean, rstd = row.rstd;
  float sum = 0, sum_normal = 0;
#pragma omp simd reduction(+ : sum, sum_normal)
  for (std::int64_t i = 0; i < row.cols; ++i) {
    const float normal = (x[i] - mean) * rstd;
    const float d_normal = d_out[i] * gain[i];
    sum += d_normal;
    sum_normal += d_normal * normal;
    d_gain[i] += d_out[i] * normal;
    d_bias[i] += d_out[i];
  }
  return {sum, sum_normal};
}

// The same where the mean is taken for zero: nothing shifts.
TUTTI_INLINE std::pair<float, float> uncentred_sums(const NormRowGradient& row) {
  const float* __restrict d_out = row.d_out;
  const float* __restrict x = row.x;
  const float* __restrict gain = row.gain;
  float* __restrict d_gain = row.d_gain;
  const float rstd = row.rstd;
  float sum_normal = 0;
#pragma omp simd reduction(+ : sum_normal)
  for (std::int64_t i = 0; i < row.cols; ++i) {
    const float normal = x[i] * rstd;
    sum_normal += d_out[i] * gain[i] * normal;
    d_gain[i] += d_out[i] * normal;
  }
  return {0.0f, sum_normal};
}

TUTTI_CLONES void backward_row(const NormRowGradient& row) {
  const float* d_out = row.d_out;
  const float* __restrict x = row.x;
  const float* __restrict gain = row.gain;
  const float mean = row.mean, rstd = row.rstd;
  const auto [sum, sum_normal] = row.centred ? centred_sums(row) : uncentred_sums(row);
  const float shift = sum / static_cast<float>(row.cols);
  const float slope = sum_normal / static_cast<float>(row.cols);
  float* d_x = row.d_x;  // may be d_out itself, at the same index
  if (row.d_skip == nullptr) {
#pragma omp simd
    for (std::int64_t i = 0; i < row.cols; ++i)
      d_x[i] = rstd * (d_out[i] * gain[i] - shift - (x[i] - mean) * rstd * slope);
  } else {
    const float* __restrict d_skip = row.d_skip;
#pragma omp simd
    for (std::int64_t i = 0; i < row.cols; ++i)
      d_x[i] = d_skip[i] + rstd * (d_out[i] * gain[i] - shift - (x[i] - mean) * rstd * slope);
  }
  if (row.d_x_narrow == nullptr) return;
  bf16* __restrict narrow = row.d_x_narrow;
#pragma omp simd
  for (std::int64_t i = 0; i < row.cols; ++i) store(narrow[i], d_x[i]);
}

}  // namespace

void layer_norm_row(const NormRow& row, float* out) { normalise_f32(row, out); }
void layer_norm_row(const NormRow& row, bf16* out) { normalise_bf16(row, out); }
void layer_norm_row_backward(const NormRowGradient& row) { backward_row(row); }

}  // namespace tutti::cpu
