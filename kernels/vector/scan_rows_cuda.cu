#include <cmath>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/vector/elements_cuda.h"
#include "kernels/vector/scan_kernels_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kWarps = 8;  // of a block, each with a row

// Below any length that counts: what a unit may lose that takes subnormal numbers for zeros.
constexpr double kLeastSquare = 0x1p-200;

// A row's elements: rounded, and the squares of lengths.
template <class T>
__global__ void prepare_kernel(ScanRows rows) {
  const std::int64_t row = std::int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (row >= rows.count) return;  // a whole warp
  const auto* packets = reinterpret_cast<const uint4*>(rows.rows + row * rows.row_bytes);
  bf16* to = rows.rounded + row * rows.rounded_stride;
  double square = 0, residual = 0;
  for (std::int64_t j = std::int64_t(threadIdx.x % 32) * kPacket<T>; j < rows.rounded_stride;
       j += 32 * kPacket<T>) {
    float values[kPacket<T>] = {};
    if (j < rows.dim) unpack<T>(packets[j / kPacket<T>], values);
#pragma unroll
    for (int i = 0; i < kPacket<T>; ++i) {
      const bf16 rounded = to_bf16(values[i]);
      to[j + i] = rounded;
      const double off = double(values[i]) - double(bf16_low(rounded.bits));
      square += double(values[i]) * double(values[i]);
      residual += off * off;
    }
  }
  square = warp_sum(square);
  residual = warp_sum(residual);
  if (threadIdx.x % 32 == 0) {
    rows.squares[row] = square + kLeastSquare;
    rows.residuals[row] = residual + kLeastSquare;
  }
}

// A row's part of the bound on q.v - q'.v', but for the tile's own rounding.
__device__ __forceinline__ double part_of_bound(double square, double residual,
                                                const ScanBounds& bounds) {
  return (residual * (bounds.balance + 1) + square / bounds.balance) / 2;
}

__global__ void starts_kernel(ScanRows rows, ScanBounds bounds, float* starts) {
  const std::int64_t row = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows.count) return;
  const double square = rows.squares[row];
  if (!(square <= bounds.largest_square)) {
    starts[row] = INFINITY;  // or NaN behind a tile: either passes
    return;
  }
  double start =
      part_of_bound(square, rows.residuals[row], bounds) + bounds.tile_slack * 1.5 * square;
  start += bounds.metric == Metric::l2 ? -square / 2 : bounds.slack * square / 2;
  starts[row] = float(start * (start > 0 ? 1 + 0x1p-22 : 1 - 0x1p-22));
}

__global__ void thresholds_kernel(ScanRows rows, ScanBounds bounds, const float* limits,
                                  float* thresholds) {
  const std::int64_t row = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows.count) return;
  const double square = rows.squares[row], limit = limits[row];
  if (!(square <= bounds.largest_square)) {
    thresholds[row] = -INFINITY;
    return;
  }
  double threshold = 0;
  if (bounds.metric == Metric::l2) {
    threshold = (square - limit * (1 + bounds.slack) - bounds.underflow) / 2;
  } else {
    const double one = bounds.metric == Metric::cosine ? 1 : 0;
    threshold =
        one - limit - (fabs(limit) + 1) * 0x1p-22 - bounds.underflow - bounds.slack * square / 2;
  }
  threshold -= part_of_bound(square, rows.residuals[row], bounds) + bounds.tile_slack * square / 2;
  thresholds[row] = float(threshold * (threshold > 0 ? 1 - 0x1p-22 : 1 + 0x1p-22));
}

LaunchShape by_rows(std::int64_t rows) {
  constexpr int kThreads = 256;
  return {dim3(unsigned(ceil_div(rows, kThreads))), dim3(kThreads)};
}

}  // namespace

void prepare_rows(const ScanRows& rows, cudaStream_t stream) {
  if (rows.count == 0) return;
  with_element(rows.type, [&](auto element) {
    launch({dim3(unsigned(ceil_div(rows.count, kWarps))), dim3(32 * kWarps)}, stream,
           prepare_kernel<decltype(element)>, rows);
  });
}

void make_starts(const ScanRows& vectors, const ScanBounds& bounds, float* starts,
                 cudaStream_t stream) {
  if (vectors.count == 0) return;
  launch(by_rows(vectors.count), stream, starts_kernel, vectors, bounds, starts);
}

void make_thresholds(const ScanRows& queries, const ScanBounds& bounds, const float* limits,
                     float* thresholds, cudaStream_t stream) {
  if (queries.count == 0) return;
  launch(by_rows(queries.count), stream, thresholds_kernel, queries, bounds, limits, thresholds);
}

}  // namespace tutti::cuda
