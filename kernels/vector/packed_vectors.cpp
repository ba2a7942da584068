#include "kernels/vector/packed_vectors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/core/clones.h"
#include "kernels/core/parallel.h"
#include "kernels/vector/transpose.h"

namespace tutti {
namespace {

constexpr std::int64_t kLanes = PackedVectors::kLanes;
constexpr std::int64_t kStrip = 64;  // dimensions converted at a time, so that they stay in L1

template <class T>
TUTTI_INLINE void convert(const T* __restrict in, std::int64_t count, float* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(in[i]);
}

TUTTI_CLONES void convert_bf16(const bf16* in, std::int64_t count, float* out) {
  convert(in, count, out);
}
TUTTI_CLONES void convert_u8(const std::uint8_t* in, std::int64_t count, float* out) {
  convert(in, count, out);
}
TUTTI_CLONES void convert_i8(const std::int8_t* in, std::int64_t count, float* out) {
  convert(in, count, out);
}

// Elements [begin, begin + count) of row `index`, as floats.
void copy_part(const VectorRows& rows, std::int64_t index, std::int64_t begin, std::int64_t count,
               float* out) {
  const std::int64_t offset = index * rows.stride + begin;
  switch (rows.type) {
    case DType::f32:
      std::copy_n(static_cast<const float*>(rows.data) + offset, count, out);
      return;
    case DType::bf16:
      return convert_bf16(static_cast<const bf16*>(rows.data) + offset, count, out);
    case DType::u8:
      return convert_u8(static_cast<const std::uint8_t*>(rows.data) + offset, count, out);
    case DType::i8:
      return convert_i8(static_cast<const std::int8_t*>(rows.data) + offset, count, out);
    default:
      break;
  }
  const auto* in = static_cast<const std::uint16_t*>(rows.data) + offset;
  std::transform(in, in + count, out, float_from_f16);
}

TUTTI_CLONES void squared_lengths(const float* __restrict group, std::int64_t dim,
                                  double* __restrict sums) {
  for (std::int64_t j = 0; j < dim; ++j) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const double x = group[j * kLanes + lane];
      sums[lane] += x * x;
    }
  }
}

void half_lengths_of(const float* group, std::int64_t dim, float* out) {
  double sums[kLanes] = {};
  squared_lengths(group, dim, sums);
  const double slack = rounding_slack(dim);
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const bool known = sums[lane] <= kLargestSquare;
    const auto half = static_cast<float>(sums[lane] * (1 - slack) / 2 - underflow_slack(dim));
    constexpr float kLowest = -std::numeric_limits<float>::infinity();
    out[lane] = known ? std::nextafter(half, kLowest) : kLowest;
  }
}

}  // namespace

VectorRows VectorRows::range(std::int64_t begin, std::int64_t size) const {
  const std::int64_t bytes = begin * stride * static_cast<std::int64_t>(size_of(type));
  return {static_cast<const char*>(data) + bytes, type, size, dim, stride};
}

void check_rows(const VectorRows& rows, const char* what) {
  const auto fail = [&](const char* why) {
    throw std::invalid_argument(std::string(what) + ": " + why);
  };
  if (rows.type == DType::i32 || rows.type == DType::i64) {
    fail("vectors must be f32, bf16, f16, u8 or i8");
  }
  if (rows.count < 0) fail("a negative number of vectors");
  if (rows.dim < 1) fail("vectors must have at least one dimension");
  if (rows.stride < rows.dim) fail("the stride is below the dimension");
}

void copy_row(const VectorRows& rows, std::int64_t index, float* out) {
  copy_part(rows, index, 0, rows.dim, out);
}

void PackedVectors::pack(const VectorRows& rows) {
  check_rows(rows, "PackedVectors");
  count_ = rows.count;
  dim_ = rows.dim;
  data_.grow(groups() * kLanes * dim_);
  half_lengths_.grow(groups() * kLanes);
  parallel_for(groups(), [&](std::int64_t index) { pack_group(rows, index); });
}

void PackedVectors::pack_group(const VectorRows& rows, std::int64_t index) {
  float* out = data_.data() + index * kLanes * dim_;
  const std::int64_t first = index * kLanes;
  const std::int64_t present = std::min(kLanes, count_ - first);
  if (rows.type == DType::f32 && present == kLanes) {
    transpose(static_cast<const float*>(rows.data) + first * rows.stride, rows.stride, dim_, out);
  } else {
    alignas(64) float strip[kLanes * kStrip] = {};
    for (std::int64_t j = 0; j < dim_; j += kStrip) {
      const std::int64_t width = std::min(kStrip, dim_ - j);
      for (std::int64_t i = 0; i < present; ++i) {
        copy_part(rows, first + i, j, width, strip + i * kStrip);
      }
      transpose(strip, kStrip, width, out + j * kLanes);
    }
  }
  half_lengths_of(out, dim_, half_lengths_.data() + first);
}

}  // namespace tutti
