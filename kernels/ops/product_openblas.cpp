#include <cblas.h>

#include "kernels/core/arena.h"
#include "kernels/ops/product.h"

namespace tutti::openblas {
namespace {

// An operand in floats.
struct Operand {
  const float* data;
  std::int64_t row;
  std::int64_t col;
};

// The leading dimension; where an extent of one leaves the stride open, BLAS still wants it long.
int leading(const Operand& x, std::int64_t rows, std::int64_t cols) {
  const std::int64_t stride = x.col == 1 ? x.row : x.col;
  const std::int64_t least = x.col == 1 ? cols : rows;
  return static_cast<int>(stride < least ? least : stride);
}

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Operand& a, const Operand& b,
              bool accumulate, float* c, std::int64_t c_row) {
  cblas_sgemm(CblasRowMajor, a.col == 1 ? CblasNoTrans : CblasTrans,
              b.col == 1 ? CblasNoTrans : CblasTrans, static_cast<int>(m), static_cast<int>(n),
              static_cast<int>(k), 1.0f, a.data, leading(a, m, k), b.data, leading(b, k, n),
              accumulate ? 1.0f : 0.0f, c, static_cast<int>(c_row));
}

// OpenBLAS multiplies in f32: bf16 operands are widened into scratch first, which loses nothing.
// The operand as floats; advances `space` past what it used.
Operand widen(const void* data, DType type, std::int64_t batch, std::int64_t rows,
              std::int64_t cols, const OperandStride& stride, float*& space) {
  if (type == DType::f32)
    return {static_cast<const float*>(data) + batch * stride.batch, stride.row, stride.col};
  const bf16* from = static_cast<const bf16*>(data) + batch * stride.batch;
  float* to = space;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      to[r * cols + c] = float(from[r * stride.row + c * stride.col]);
  space += rows * cols;
  return {to, cols, 1};
}

class OpenBlasProduct final : public Product {
 public:
  explicit OpenBlasProduct(const ProductShape& shape) : shape_(shape) {
    openblas_set_num_threads(1);
  }

  std::int64_t scratch_bytes() const override {
    const auto& s = shape_;
    const std::int64_t operands = s.in == DType::bf16 ? s.m * s.k + s.k * s.n : 0;
    const std::int64_t result = s.out == DType::bf16 ? s.m * s.n : 0;
    return (operands + result) * static_cast<std::int64_t>(sizeof(float));
  }

  void run(const void* a, const void* b, void* c, std::byte* scratch) const override {
    const auto& s = shape_;
    for (std::int64_t i = 0; i < s.batch; ++i) {
      auto* space = reinterpret_cast<float*>(scratch);
      const Operand left = widen(a, s.in, i, s.m, s.k, s.a, space);
      const Operand right = widen(b, s.in, i, s.k, s.n, s.b, space);
      if (s.out == DType::f32) {
        multiply(s.m, s.n, s.k, left, right, s.accumulate, static_cast<float*>(c) + i * s.c.batch,
                 s.c.row);
      } else {
        multiply(s.m, s.n, s.k, left, right, false, space, s.n);
        narrow(space, static_cast<bf16*>(c) + i * s.c.batch);
      }
    }
  }

 private:
  void narrow(const float* from, bf16* to) const {
    for (std::int64_t r = 0; r < shape_.m; ++r)
      for (std::int64_t c = 0; c < shape_.n; ++c)
        to[r * shape_.c.row + c] = bf16(from[r * shape_.n + c]);
  }

  ProductShape shape_;
};

// B is kept as floats, rounded to the type of the panels.
class OpenBlasPackedProduct final : public PackedProduct {
 public:
  explicit OpenBlasPackedProduct(const PackedShape& shape)
      : shape_(shape), packed_(shape.inner * shape.outer) {
    openblas_set_num_threads(1);
  }

  void pack(const void* b, DType type) override {
    const auto& s = shape_;
    for (std::int64_t k = 0; k < s.inner; ++k)
      for (std::int64_t col = 0; col < s.outer; ++col) {
        const std::int64_t at = s.b_transposed ? col * s.b_stride + k : k * s.b_stride + col;
        const float value = type == DType::bf16 ? float(static_cast<const bf16*>(b)[at])
                                                : static_cast<const float*>(b)[at];
        packed_[k * s.outer + col] = s.in == DType::bf16 ? float(bf16(value)) : value;
      }
  }

  std::int64_t scratch_bytes() const override {
    return shape_.in == DType::bf16
               ? shape_.rows * shape_.inner * static_cast<std::int64_t>(sizeof(float))
               : 0;
  }

  void run(const void* x, float* y, std::byte* scratch) const override {
    const auto& s = shape_;
    auto* space = reinterpret_cast<float*>(scratch);
    const Operand panel = widen(x, s.in, 0, s.rows, s.inner, {0, s.x_stride, 1}, space);
    multiply(s.rows, s.outer, s.inner, panel, {packed_.data(), s.outer, 1}, s.accumulate, y,
             s.y_stride);
  }

 private:
  PackedShape shape_;
  AlignedBuffer<float> packed_;
};

}  // namespace

std::unique_ptr<Product> make_product(const ProductShape& shape) {
  return std::make_unique<OpenBlasProduct>(shape);
}

std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape) {
  return std::make_unique<OpenBlasPackedProduct>(shape);
}

}  // namespace tutti::openblas
