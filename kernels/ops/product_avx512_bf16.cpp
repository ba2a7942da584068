// bf16 products with the dot products of AVX512_BF16: the right operand is packed, panel by panel,
// for register tiles that read a row-major left operand where it stands. What the next panel needs
// is fetched while one is multiplied.

#include <algorithm>
#include <stdexcept>

#include "kernels/core/arena.h"
#include "kernels/core/cpu.h"
#include "kernels/ops/bf16_tile.h"
#include "kernels/ops/product.h"
#include "kernels/ops/rows_cpu.h"

namespace tutti::avx512_bf16 {

#ifdef __x86_64__
namespace {

constexpr std::int64_t kElement = sizeof(bf16);

// Rows of a packed B that are multiplied at a time: its panel and A's rows fit a first-level cache.
constexpr std::int64_t kPackedChunk = 256;
// The same where B is packed on the way: fewer passes over C, and a second-level cache.
constexpr std::int64_t kChunk = 1024;

class Bf16PackedProduct final : public PackedProduct {
 public:
  explicit Bf16PackedProduct(const PackedShape& shape)
      : shape_(shape), panels_(shape.inner, shape.outer) {
    packed_.grow(panels_.elements());
  }

  void pack(const void* b, DType type) override {
    if (type == DType::bf16)
      pack_all(static_cast<const bf16*>(b));
    else
      pack_all(static_cast<const float*>(b));
  }

  void run(const void* x, float* y, std::byte*) const override {
    for (std::int64_t panel = 0; panel < panels_.count(); ++panel)
      for (std::int64_t k = 0; k < shape_.inner; k += kPackedChunk)
        multiply_panel({.a = static_cast<const bf16*>(x) + k,
                        .a_row = shape_.x_stride,
                        .a_packed = false,
                        .b = packed_.data() + panels_.offset(panel, k / 2),
                        .vectors = panels_.vectors(panel),
                        .c = y + panels_.first(panel),
                        .c_row = shape_.y_stride,
                        .rows = shape_.rows,
                        .cols = panels_.cols(panel),
                        .inner = std::min(kPackedChunk, shape_.inner - k),
                        .accumulate = shape_.accumulate || k > 0,
                        .ahead = behind(panel, k)});
  }

 private:
  template <class T>
  void pack_all(const T* b) {
    const Operand<T> operand =
        shape_.b_transposed ? Operand<T>{b, 1, shape_.b_stride} : Operand<T>{b, shape_.b_stride, 1};
    for (std::int64_t panel = 0; panel < panels_.count(); ++panel)
      pack_panel(panels_, panel, operand, shape_.inner, packed_.data() + panels_.offset(panel, 0));
  }

  // The packed rows behind a chunk, be they of the next panel.
  Ahead behind(std::int64_t panel, std::int64_t k) const {
    const std::int64_t line = panels_.vectors(panel) * PairPanels::kLanes * 2 * kElement,
                       end = panels_.offset(panel, 0) * kElement +
                             std::min(shape_.inner + 1, k + kPackedChunk) / 2 * line,
                       left = panels_.elements() * kElement - end;
    return {packed_.data() + end / kElement, line, std::min(kPackedChunk / 2, left / line), line};
  }

  PackedShape shape_;
  PairPanels panels_;
  AlignedBuffer<bf16> packed_;
};

class Bf16Product final : public Product {
 public:
  explicit Bf16Product(const ProductShape& shape) : shape_(shape), turned_(shape.a.col != 1) {}

  std::int64_t scratch_bytes() const override { return c_offset() + c_bytes(); }

  void run(const void* a, const void* b, void* c, std::byte* scratch) const override {
    const auto& s = shape_;
    for (std::int64_t i = 0; i < s.batch; ++i) {
      const auto* left = static_cast<const bf16*>(a) + i * s.a.batch;
      const auto* right = static_cast<const bf16*>(b) + i * s.b.batch;
      if (s.out == DType::f32) {
        multiply(left, right, static_cast<float*>(c) + i * s.c.batch, s.c.row, scratch);
        continue;
      }
      auto* wide = reinterpret_cast<float*>(scratch + c_offset());
      multiply(left, right, wide, s.n, scratch);
      for (std::int64_t r = 0; r < s.m; ++r)
        cpu::add_rows(wide + r * s.n, nullptr, s.n,
                      static_cast<bf16*>(c) + i * s.c.batch + r * s.c.row);
    }
  }

 private:
  std::int64_t chunk() const { return std::min(kChunk, shape_.k); }
  // Scratch: A's rows, a panel of B, C where it becomes bf16.
  std::int64_t b_offset() const {
    return turned_ ? aligned(packed_rows_elements(shape_.m, chunk()) * kElement) : 0;
  }
  std::int64_t c_offset() const {
    const std::int64_t cols = std::min<std::int64_t>(shape_.n, 3 * PairPanels::kLanes);
    return b_offset() + PairPanels(chunk(), cols).elements() * kElement;
  }
  std::int64_t c_bytes() const {
    return shape_.out == DType::f32
               ? 0
               : shape_.m * shape_.n * static_cast<std::int64_t>(sizeof(float));
  }
  static std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

  void multiply(const bf16* a, const bf16* b, float* c, std::int64_t c_row,
                std::byte* scratch) const {
    const auto& s = shape_;
    auto* rows = reinterpret_cast<bf16*>(scratch);
    auto* columns = reinterpret_cast<bf16*>(scratch + b_offset());
    for (std::int64_t k = 0; k < s.k; k += kChunk) {
      const std::int64_t inner = std::min(kChunk, s.k - k);
      const PairPanels panels(inner, s.n);
      const bf16* left = a + k * s.a.col;
      if (turned_) pack_rows({left, 1, s.a.col}, s.m, inner, rows);
      const Operand<bf16> right{b + k * s.b.row, s.b.row, s.b.col};
      for (std::int64_t panel = 0; panel < panels.count(); ++panel) {
        pack_panel(panels, panel, right, inner, columns);
        multiply_panel({.a = turned_ ? rows : left,
                        .a_row = s.a.row,
                        .a_packed = turned_,
                        .b = columns,
                        .vectors = panels.vectors(panel),
                        .c = c + panels.first(panel),
                        .c_row = c_row,
                        .rows = s.m,
                        .cols = panels.cols(panel),
                        .inner = inner,
                        .accumulate = s.accumulate || k > 0,
                        .ahead = next(panels, panel + 1, right, inner)});
      }
    }
  }

  // What the next panel is packed from.
  static Ahead next(const PairPanels& panels, std::int64_t panel, const Operand<bf16>& b,
                    std::int64_t inner) {
    if (panel >= panels.count()) return {};
    const std::int64_t cols = panels.cols(panel);
    const bf16* first = b.data + panels.first(panel) * b.col;
    if (b.col == 1) return {first, b.row * kElement, inner, cols * kElement};
    return {first, b.col * kElement, cols, inner * kElement};
  }

  ProductShape shape_;
  bool turned_;
};

}  // namespace

bool supports(DType in) { return in == DType::bf16 && cpu_features().avx512_bf16; }

std::unique_ptr<Product> make_product(const ProductShape& shape) {
  if (!supports(shape.in)) throw std::invalid_argument("product: not for this type or processor");
  return std::make_unique<Bf16Product>(shape);
}

std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape) {
  if (!supports(shape.in))
    throw std::invalid_argument("packed product: not for this type or processor");
  return std::make_unique<Bf16PackedProduct>(shape);
}
#else
bool supports(DType) { return false; }

std::unique_ptr<Product> make_product(const ProductShape&) {
  throw std::invalid_argument("product: not for this processor");
}

std::unique_ptr<PackedProduct> make_packed_product(const PackedShape&) {
  throw std::invalid_argument("packed product: not for this processor");
}
#endif

}  // namespace tutti::avx512_bf16
