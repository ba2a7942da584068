#include "kernels/vector/pair_distances.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/clones.h"
#include "kernels/vector/transpose.h"

namespace tutti {
namespace {

constexpr int kPairs = PairDistances::kPairs;

TUTTI_CLONES void subtract(const float* __restrict a, const float* __restrict b, std::int64_t count,
                           float* __restrict out) {
  for (std::int64_t j = 0; j < count; ++j) out[j] = a[j] - b[j];
}

// The chains of reference::distance, a lane a pair.
TUTTI_CLONES void sum_products(const float* __restrict a, const float* __restrict b,
                               std::int64_t dim, float* __restrict out) {
  float sums[kPairs] = {};
  for (std::int64_t j = 0; j < dim; ++j)
    for (int i = 0; i < kPairs; ++i)
      sums[i] = __builtin_fmaf(a[j * kPairs + i], b[j * kPairs + i], sums[i]);
  for (int i = 0; i < kPairs; ++i) out[i] = sums[i];
}

}  // namespace

PairDistances::PairDistances(Metric metric, std::int64_t dim)
    : metric_(metric), dim_(dim), rows_(kPairs * dim) {
  columns_[0].grow(kPairs * dim);
  if (metric != Metric::l2) columns_[1].grow(kPairs * dim);
}

const float* PairDistances::as_floats(const VectorRows& rows, std::int64_t row, int slot) {
  if (rows.type == DType::f32) return static_cast<const float*>(rows.data) + row * rows.stride;
  converted_.grow(kPairs * dim_);
  float* to = converted_.data() + slot * dim_;
  copy_row(rows, row, to);
  return to;
}

void PairDistances::measure(const float* const* queries, const VectorRows* const* sets,
                            const std::int64_t* rows, int count, float* out) {
  float sums[kPairs];
  const bool l2 = metric_ == Metric::l2;
  for (int i = 0; i < count; ++i) {
    const float* vector = as_floats(*sets[i], rows[i], i);
    float* to = rows_.data() + i * dim_;
    if (l2)
      subtract(queries[i], vector, dim_, to);
    else
      std::copy_n(vector, dim_, to);
  }
  transpose(rows_.data(), dim_, dim_, columns_[0].data());
  if (!l2) {
    for (int i = 0; i < count; ++i) std::copy_n(queries[i], dim_, rows_.data() + i * dim_);
    transpose(rows_.data(), dim_, dim_, columns_[1].data());
  }
  sum_products(columns_[0].data(), columns_[l2 ? 0 : 1].data(), dim_, sums);
  const float base = metric_ == Metric::cosine ? 1.0f : 0.0f;
  for (int i = 0; i < count; ++i) out[i] = l2 ? sums[i] : base - sums[i];
}

}  // namespace tutti
