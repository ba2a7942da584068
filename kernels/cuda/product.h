// Matrix products on the device, by cuBLASLt: bf16 or f32 operands, sums in f32, no TF32.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"

namespace tutti::cuda {

// C = A B, or C += A B, or C = A B + bias (one element a column of C, in C's type). All are
// row-major: A is m x k, B is k x n, C is m x n, rows `stride` elements apart; a transposed operand
// is stored as its transpose, with rows of that.
struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t a_stride = 0, b_stride = 0, c_stride = 0;
  bool a_transposed = false, b_transposed = false;
  DType in = DType::bf16, out = DType::bf16;
  bool accumulate = false, bias = false;

  auto operator<=>(const ProductShape&) const = default;
};

// Plans are kept, one a shape. The same shape gives the same bytes each time.
class Products {
 public:
  Products();
  ~Products();

  void run(const ProductShape& shape, const void* a, const void* b, void* c, const void* bias,
           cudaStream_t stream);

  // The library's name and version.
  static const char* library();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tutti::cuda
