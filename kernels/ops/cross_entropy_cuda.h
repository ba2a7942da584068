// Cross-entropy in the device's memory, as cross_entropy.h says; in the stream.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/cross_entropy.h"

namespace tutti::cuda {

// As cross_entropy(); where `with_gradient`, what stands in a row between logits.cols and
// logits.stride becomes zero. T is float or bf16.
template <class T>
void cross_entropy(MatrixView<T> logits, const std::int32_t* targets,
                   const CrossEntropyOptions& options, bool with_gradient, float* losses,
                   cudaStream_t stream);

}  // namespace tutti::cuda
