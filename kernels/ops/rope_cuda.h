// Rotary position embedding in the device's memory, as rope.h says; in the stream.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/cuda/memory.h"
#include "kernels/ops/rope.h"

namespace tutti::cuda {

// Cosines and sines for positions below a limit, on the device.
class Rope {
 public:
  Rope(const RopeShape& shape, std::int64_t head_size, std::int64_t positions, cudaStream_t stream);

  // Turns `heads` heads, side by side from x's first column on, of every row by its position, or
  // back. In place. T is float or bf16.
  template <class T>
  void turn(MatrixView<T> x, std::int64_t heads, const std::int32_t* positions, bool back,
            cudaStream_t stream) const;

 private:
  std::int64_t half_;
  DeviceBuffer<float> table_;  // [positions, half_] cosines and sines, pair by pair
};

}  // namespace tutti::cuda
