#include <vector>

#include "kernels/ops/product.h"

namespace tutti::reference {
namespace {

float element(const void* data, DType type, std::int64_t index) {
  if (type == DType::bf16) return float(static_cast<const bf16*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

class ReferenceProduct final : public Product {
 public:
  explicit ReferenceProduct(const ProductShape& shape) : shape_(shape) {}

  void run(const void* a, const void* b, void* c, std::byte*) const override {
    for (std::int64_t i = 0; i < shape_.batch; ++i)
      for (std::int64_t row = 0; row < shape_.m; ++row)
        for (std::int64_t col = 0; col < shape_.n; ++col)
          store(c, i * shape_.c.batch + row * shape_.c.row + col, dot(a, b, i, row, col));
  }

 private:
  float dot(const void* a, const void* b, std::int64_t i, std::int64_t row,
            std::int64_t col) const {
    const OperandStride &sa = shape_.a, &sb = shape_.b;
    double sum = 0;
    for (std::int64_t k = 0; k < shape_.k; ++k)
      sum += double(element(a, shape_.in, i * sa.batch + row * sa.row + k * sa.col)) *
             element(b, shape_.in, i * sb.batch + k * sb.row + col * sb.col);
    return static_cast<float>(sum);
  }

  void store(void* c, std::int64_t index, float value) const {
    if (shape_.out == DType::bf16)
      static_cast<bf16*>(c)[index] = bf16(value);
    else if (shape_.accumulate)
      static_cast<float*>(c)[index] += value;
    else
      static_cast<float*>(c)[index] = value;
  }

  ProductShape shape_;
};

class ReferencePackedProduct final : public PackedProduct {
 public:
  explicit ReferencePackedProduct(const PackedShape& shape) : shape_(shape) {}

  void pack(const void* b, DType type) override {
    packed_.clear();
    for (std::int64_t col = 0; col < shape_.outer; ++col)
      for (std::int64_t k = 0; k < shape_.inner; ++k) {
        const float value = static_cast<float>(element(
            b, type, shape_.b_transposed ? col * shape_.b_stride + k : k * shape_.b_stride + col));
        packed_.push_back(shape_.in == DType::bf16 ? float(bf16(value)) : value);
      }
  }

  void run(const void* x, float* y, std::byte*) const override {
    for (std::int64_t row = 0; row < shape_.rows; ++row)
      for (std::int64_t col = 0; col < shape_.outer; ++col) {
        double sum = 0;
        for (std::int64_t k = 0; k < shape_.inner; ++k)
          sum += double(element(x, shape_.in, row * shape_.x_stride + k)) *
                 packed_[col * shape_.inner + k];
        float& to = y[row * shape_.y_stride + col];
        to = (shape_.accumulate ? to : 0.0f) + static_cast<float>(sum);
      }
  }

 private:
  PackedShape shape_;
  std::vector<float> packed_;  // [outer, inner]
};

}  // namespace

std::unique_ptr<Product> make_product(const ProductShape& shape) {
  return std::make_unique<ReferenceProduct>(shape);
}

std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape) {
  return std::make_unique<ReferencePackedProduct>(shape);
}

}  // namespace tutti::reference
