#include "kernels/ops/product.h"

#include <stdexcept>

#include "kernels/core/cpu.h"

namespace tutti {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

bool is_float(DType type) { return type == DType::f32 || type == DType::bf16; }

void check(const ProductShape& s) {
  require(s.batch > 0 && s.m > 0 && s.n > 0 && s.k > 0, "product: an extent is empty");
  require(is_float(s.in) && is_float(s.out), "product: types are f32 and bf16");
  require(!s.accumulate || s.out == DType::f32, "product: accumulation is in f32");
  require(s.a.row == 1 || s.a.col == 1, "product: A has no unit stride");
  require(s.b.row == 1 || s.b.col == 1, "product: B has no unit stride");
  require(s.c.col == 1 && s.c.row >= s.n, "product: C is not row-major");
}

void check(const PackedShape& s) {
  require(s.rows > 0 && s.inner > 0 && s.outer > 0, "packed product: an extent is empty");
  require(is_float(s.in), "packed product: types are f32 and bf16");
  const std::int64_t b_cols = s.b_transposed ? s.inner : s.outer;
  require(s.x_stride >= s.inner && s.y_stride >= s.outer && s.b_stride >= b_cols,
          "packed product: a stride is too short");
}

// Elements of B up to which our own kernel is faster than the library: half of a core's cache.
constexpr std::int64_t kSmallOperand = 64 * 1024;

// The library for products that our own kernels do not do.
ProductBackend library() {
  return cpu_features().avx512 ? ProductBackend::onednn : ProductBackend::openblas;
}

}  // namespace

DType preferred_compute_dtype() { return cpu_features().avx512_bf16 ? DType::bf16 : DType::f32; }

// The matrix units of AMX, which the library has, are faster than our own bf16 kernels.
ProductBackend product_backend(DType in, ProductBackend backend) {
  if (backend != ProductBackend::automatic) return backend;
  return avx512_bf16::supports(in) && !cpu_features().amx_bf16 ? ProductBackend::avx512_bf16
                                                               : library();
}

std::unique_ptr<Product> make_product(const ProductShape& shape, ProductBackend backend) {
  check(shape);
  if (backend == ProductBackend::automatic && avx512::supports(shape) &&
      shape.k * shape.n <= kSmallOperand)
    return avx512::make_product(shape);
  switch (product_backend(shape.in, backend)) {
    case ProductBackend::onednn:
      return onednn::make_product(shape);
    case ProductBackend::openblas:
      return openblas::make_product(shape);
    case ProductBackend::avx512:
      return avx512::make_product(shape);
    case ProductBackend::avx512_bf16:
      return avx512_bf16::make_product(shape);
    default:
      return reference::make_product(shape);
  }
}

std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape,
                                                   ProductBackend backend) {
  check(shape);
  // A matrix that stays may need no copy in a library.
  const bool stays = shape.b_stays && backend == ProductBackend::automatic;
  switch (stays ? library() : product_backend(shape.in, backend)) {
    case ProductBackend::onednn:
      return onednn::make_packed_product(shape);
    case ProductBackend::openblas:
      return openblas::make_packed_product(shape);
    case ProductBackend::avx512_bf16:
      return avx512_bf16::make_packed_product(shape);
    case ProductBackend::reference:
      return reference::make_packed_product(shape);
    default:
      throw std::invalid_argument("packed product: the backend has none");
  }
}

}  // namespace tutti
