// Matrix products, each computed by one thread in an order that its shape alone decides.
//
// oneDNN's bits depend on its thread count, so callers cut large products into panels and run one
// plan for each panel, many at a time, within a parallel loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/core/dtype.h"

namespace tutti {

// `automatic` is what is fastest for a product here: on machines with AVX-512 our own kernels for
// small f32 products and, without AMX, for bf16, else oneDNN; OpenBLAS on others. Which one depends
// on the shape and the processor alone.
enum class ProductBackend : std::uint8_t {
  automatic,
  reference,
  onednn,
  openblas,
  avx512,
  avx512_bf16
};

// The type in which this machine multiplies fastest: bf16 where it has AMX or AVX512_BF16, else
// f32.
DType preferred_compute_dtype();

// What `automatic` stands for here where both operands are large.
ProductBackend product_backend(DType in, ProductBackend backend);

// The libraries behind the backends and their versions, for a person.
std::string product_library();

// Where the elements of an operand stand, in elements from its start.
struct OperandStride {
  std::int64_t batch = 0;
  std::int64_t row = 0;
  std::int64_t col = 1;
};

// C[i] = A[i] B[i], or C[i] += A[i] B[i], for i in [0, batch): A is m x k, B is k x n, C is m x n
// with rows c.row apart and unit column stride. A and B are of type `in` (f32 or bf16) and have a
// unit stride along one of their two dimensions; C is of type `out`; sums are taken in f32.
struct ProductShape {
  std::int64_t batch = 1;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  OperandStride a;
  OperandStride b;
  OperandStride c;
  DType in = DType::f32;
  DType out = DType::f32;
  bool accumulate = false;
};

// A plan for products of one shape.
class Product {
 public:
  virtual ~Product() = default;

  // Bytes of scratch that run() needs.
  virtual std::int64_t scratch_bytes() const { return 0; }

  // The product, on the calling thread. `scratch` is aligned to 64 bytes. May be called from many
  // threads at a time, each with its own scratch.
  virtual void run(const void* a, const void* b, void* c, std::byte* scratch) const = 0;
};

// Makes a plan. Throws std::invalid_argument for an empty extent, a type that is neither f32 nor
// bf16, accumulation into bf16 or an operand without a unit stride, or where the backend that was
// asked for cannot do it.
std::unique_ptr<Product> make_product(const ProductShape& shape,
                                      ProductBackend backend = ProductBackend::automatic);

// Y = X B, or Y += X B, where B is packed once and multiplied with many row panels X.
struct PackedShape {
  std::int64_t rows = 0;      // of each panel
  std::int64_t inner = 0;     // columns of the panel
  std::int64_t outer = 0;     // columns of the result
  std::int64_t x_stride = 0;  // between rows of the panel
  std::int64_t y_stride = 0;  // between rows of the result
  std::int64_t b_stride = 0;  // between rows of B as it is given
  bool b_transposed = true;   // B is given as [outer, inner], not as [inner, outer]
  DType in = DType::f32;      // of the panel and of the packed B; the result is f32
  bool accumulate = false;
  // B is given in type `in` and neither goes nor changes until another is given: a backend that
  // multiplies it as fast where it stands makes no copy.
  bool b_stays = false;
};

class PackedProduct {
 public:
  virtual ~PackedProduct() = default;

  // Packs a matrix B of `type` (f32 or bf16), on the calling thread; it is not referenced
  // afterwards, unless in_place().
  virtual void pack(const void* b, DType type) = 0;

  // Whether pack() only keeps the address of B, which is possible with b_stays.
  virtual bool in_place() const { return false; }

  virtual std::int64_t scratch_bytes() const { return 0; }

  // As Product::run. B must have been packed.
  virtual void run(const void* x, float* y, std::byte* scratch) const = 0;
};

// Makes a plan. Throws std::invalid_argument as make_product does.
std::unique_ptr<PackedProduct> make_packed_product(
    const PackedShape& shape, ProductBackend backend = ProductBackend::automatic);

namespace reference {
std::unique_ptr<Product> make_product(const ProductShape& shape);
std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape);
}  // namespace reference

namespace onednn {
std::unique_ptr<Product> make_product(const ProductShape& shape);
std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape);
}  // namespace onednn

// Our own kernel, for f32 on AVX-512. It has no packed product.
namespace avx512 {
bool supports(const ProductShape& shape);
std::unique_ptr<Product> make_product(const ProductShape& shape);
}  // namespace avx512

// Our own kernels, for bf16 on AVX512_BF16. Their packed B is always a copy.
namespace avx512_bf16 {
bool supports(DType in);
std::unique_ptr<Product> make_product(const ProductShape& shape);
std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape);
}  // namespace avx512_bf16

namespace openblas {
std::unique_ptr<Product> make_product(const ProductShape& shape);
std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape);
}  // namespace openblas

}  // namespace tutti
