#include "kernels/vector/device_rows_cuda.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/launch.h"

namespace tutti::cuda {
namespace {

constexpr std::int64_t kStagingBytes = 16 << 20;
constexpr std::int64_t kVectorAlignment = 16;

std::int64_t row_bytes(DType type, std::int64_t dim, std::int64_t alignment) {
  return ceil_div(dim * std::int64_t(size_of(type)), alignment) * alignment;
}

std::int64_t rounded_stride(std::int64_t dim) { return ceil_div(dim, kScanSlice) * kScanSlice; }

// Rows with zeros behind them, a piece at a time.
void copy_padded(const VectorRows& rows, std::int64_t padded, unsigned char* to,
                 cudaStream_t stream) {
  const auto element = std::int64_t(size_of(rows.type));
  const std::int64_t most = std::max<std::int64_t>(1, kStagingBytes / padded);
  std::vector<unsigned char> staging(std::size_t(std::min(most, rows.count) * padded));
  for (std::int64_t begin = 0; begin < rows.count; begin += most) {
    const std::int64_t count = std::min(most, rows.count - begin);
    for (std::int64_t i = 0; i < count; ++i)
      std::memcpy(
          staging.data() + i * padded,
          static_cast<const unsigned char*>(rows.data) + (begin + i) * rows.stride * element,
          std::size_t(rows.dim * element));
    const std::size_t bytes = std::size_t(count * padded);
    copy<unsigned char>(std::span(staging).first(bytes), {to + begin * padded, bytes}, stream);
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }
}

}  // namespace

std::int64_t DeviceRows::bytes_per_row(DType type, std::int64_t dim, std::int64_t alignment) {
  return row_bytes(type, dim, alignment) + rounded_stride(dim) * std::int64_t(sizeof(bf16)) +
         2 * std::int64_t(sizeof(double));
}

void DeviceRows::reserve(DType type, std::int64_t count, std::int64_t dim, std::int64_t alignment) {
  view_ = {};
  rows_.grow(count * row_bytes(type, dim, alignment));
  rounded_.grow(count * rounded_stride(dim));
  squares_.grow(count);
  residuals_.grow(count);
  view_ = {rows_.data(),
           type,
           row_bytes(type, dim, alignment),
           rounded_.data(),
           rounded_stride(dim),
           count,
           dim,
           squares_.data(),
           residuals_.data()};
}

void DeviceRows::copy(const VectorRows& rows, std::int64_t place, cudaStream_t stream) {
  unsigned char* to = rows_.data() + place * view_.row_bytes;
  const std::int64_t own_bytes = rows.dim * std::int64_t(size_of(rows.type));
  if (rows.stride != rows.dim || own_bytes != view_.row_bytes)
    return copy_padded(rows, view_.row_bytes, to, stream);
  const auto bytes = std::size_t(rows.count * own_bytes);
  cuda::copy<unsigned char>({static_cast<const unsigned char*>(rows.data), bytes}, {to, bytes},
                            stream);
}

const ScanRows& DeviceRows::prepare(std::int64_t count, cudaStream_t stream) {
  view_.count = count;
  prepare_rows(view_, stream);
  return view_;
}

std::int64_t DeviceVectors::bytes_per_vector(DType type, std::int64_t dim) {
  return DeviceRows::bytes_per_row(type, dim, kVectorAlignment) +
         std::int64_t(sizeof(float) + sizeof(std::int64_t));
}

void DeviceVectors::reserve(DType type, std::int64_t count, std::int64_t dim) {
  rows_.reserve(type, count, dim, kVectorAlignment);
  starts_.grow(count);
  ids_.grow(count);
}

void DeviceVectors::copy(const VectorRows& rows, std::int64_t place, cudaStream_t stream) {
  rows_.copy(rows, place, stream);
}

void DeviceVectors::prepare(std::span<const std::int64_t> ids, Metric metric, cudaStream_t stream) {
  const ScanRows& rows = rows_.prepare(std::int64_t(ids.size()), stream);
  cuda::copy(ids, ids_.span().first(ids.size()), stream);
  bounds_ = {metric, rounding_slack(rows.dim), underflow_slack(rows.dim),
             // A tensor core adds sixteen products at a time to a sum, and may cut each below the
             // last place of the largest.
             0x1p-22 * (2 * double(rows.rounded_stride) + 64), choose_balance(stream),
             kLargestSquare};
  make_starts(rows, bounds_, starts_.data(), stream);
}

// How much longer vectors are than what rounding takes off them, by some of them: any number is
// right, and this makes the bound about the least.
double DeviceVectors::choose_balance(cudaStream_t stream) const {
  constexpr std::int64_t kSample = 1024;
  constexpr double kMost = 4096;
  const ScanRows& rows = rows_.view();
  const auto count = std::size_t(std::min(kSample, rows.count));
  std::vector<double> squares(count), residuals(count);
  cuda::copy<double>({rows.squares, count}, squares, stream);
  cuda::copy<double>({rows.residuals, count}, residuals, stream);
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  double square = 0, residual = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!(squares[i] <= kLargestSquare)) continue;
    square += squares[i];
    residual += residuals[i];
  }
  return residual > 0 ? std::clamp(std::sqrt(square / residual), 1.0, kMost) : kMost;
}

}  // namespace tutti::cuda
