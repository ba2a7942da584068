// Vectors in a CUDA device's memory. Internal to kernels/vector.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/memory.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/scan_kernels_cuda.h"

namespace tutti::cuda {

// Rows of the same dimension, as given and rounded.
class DeviceRows {
 public:
  // Room for so many, aligned to `alignment` bytes. Throws DeviceError, and then has none.
  void reserve(DType type, std::int64_t count, std::int64_t dim, std::int64_t alignment);
  // Bytes that a row takes.
  static std::int64_t bytes_per_row(DType type, std::int64_t dim, std::int64_t alignment);
  // Copies rows to places [place, ...).
  void copy(const VectorRows& rows, std::int64_t place, cudaStream_t stream);
  // The first `count`, rounded, once all are there.
  const ScanRows& prepare(std::int64_t count, cudaStream_t stream);

  const ScanRows& view() const { return view_; }

 private:
  ScanRows view_;
  DeviceBuffer<unsigned char> rows_;
  DeviceBuffer<bf16> rounded_;
  DeviceBuffer<double> squares_, residuals_;
};

// Those that are searched, with their ids.
class DeviceVectors {
 public:
  void reserve(DType type, std::int64_t count, std::int64_t dim);
  static std::int64_t bytes_per_vector(DType type, std::int64_t dim);
  void copy(const VectorRows& rows, std::int64_t place, cudaStream_t stream);
  // Once all are there.
  void prepare(std::span<const std::int64_t> ids, Metric metric, cudaStream_t stream);

  const ScanRows& rows() const { return rows_.view(); }
  const ScanBounds& bounds() const { return bounds_; }
  const float* starts() const { return starts_.data(); }
  const std::int64_t* ids() const { return ids_.data(); }

 private:
  double choose_balance(cudaStream_t stream) const;

  DeviceRows rows_;
  ScanBounds bounds_;
  DeviceBuffer<float> starts_;
  DeviceBuffer<std::int64_t> ids_;
};

}  // namespace tutti::cuda
