#include <stdexcept>

#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "kernels/ops/product.h"

namespace tutti::onednn {
namespace {

using dnnl::memory;

// oneDNN plans for, and runs on, as many threads as OpenMP would give it here: one, within this
// scope.
class OneThread {
 public:
  OneThread() : before_(thread_count()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

memory::data_type type_of(DType type) {
  return type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

dnnl::primitive_attr attributes(bool accumulate) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops ops;
    ops.append_sum(1.0f);
    attr.set_post_ops(ops);
  }
  return attr;
}

memory::desc describe(const ProductShape& s, std::int64_t rows, std::int64_t cols,
                      const OperandStride& stride, DType type) {
  if (s.batch == 1)
    return {memory::dims{rows, cols}, type_of(type), memory::dims{stride.row, stride.col}};
  return {memory::dims{s.batch, rows, cols}, type_of(type),
          memory::dims{stride.batch, stride.row, stride.col}};
}

// What both kinds of plan share: a matmul made for one thread.
class Matmul {
 public:
  Matmul(const memory::desc& a, const memory::desc& b, const memory::desc& c, bool accumulate) {
    const OneThread scope;
    engine_ = dnnl::engine(dnnl::engine::kind::cpu, 0);
    stream_ = dnnl::stream(engine_);
    description_ = {dnnl::matmul::desc(a, b, c), attributes(accumulate), engine_};
    matmul_ = dnnl::matmul(description_);
    a_ = description_.src_desc();
    b_ = description_.weights_desc();
    c_ = description_.dst_desc();
    scratch_ = description_.scratchpad_desc();
  }

  std::int64_t scratch_bytes() const { return static_cast<std::int64_t>(scratch_.get_size()); }
  const memory::desc& weights() const { return b_; }
  const dnnl::engine& engine() const { return engine_; }

  void run(const void* a, const void* b, void* c, std::byte* scratch) const {
    const OneThread scope;
    matmul_.execute(stream_, {{DNNL_ARG_SRC, memory(a_, engine_, const_cast<void*>(a))},
                              {DNNL_ARG_WEIGHTS, memory(b_, engine_, const_cast<void*>(b))},
                              {DNNL_ARG_DST, memory(c_, engine_, c)},
                              {DNNL_ARG_SCRATCHPAD, memory(scratch_, engine_, scratch)}});
  }

  // Copies a matrix into the layout that the matmul chose.
  void reorder(const memory::desc& from, const void* matrix, void* packed) {
    const OneThread scope;
    memory source(from, engine_, const_cast<void*>(matrix));
    memory target(b_, engine_, packed);
    dnnl::reorder(source, target).execute(stream_, source, target);
    stream_.wait();
  }

 private:
  dnnl::engine engine_;
  mutable dnnl::stream stream_;  // carries no state for a native CPU engine
  dnnl::matmul::primitive_desc description_;
  dnnl::matmul matmul_;
  memory::desc a_, b_, c_, scratch_;
};

class OneDnnProduct final : public Product {
 public:
  explicit OneDnnProduct(const ProductShape& s)
      : matmul_(describe(s, s.m, s.k, s.a, s.in), describe(s, s.k, s.n, s.b, s.in),
                describe(s, s.m, s.n, s.c, s.out), s.accumulate) {}

  std::int64_t scratch_bytes() const override { return matmul_.scratch_bytes(); }
  void run(const void* a, const void* b, void* c, std::byte* scratch) const override {
    matmul_.run(a, b, c, scratch);
  }

 private:
  Matmul matmul_;
};

class OneDnnPackedProduct final : public PackedProduct {
 public:
  explicit OneDnnPackedProduct(const PackedShape& s)
      : type_(s.in),
        plain_(plain_of(s, DType::f32)),
        plain_bf16_(plain_of(s, DType::bf16)),
        matmul_(matmul_of(
            s, {memory::dims{s.inner, s.outer}, type_of(s.in), memory::format_tag::any})) {
    // Where the matmul chose no blocks, it packs B itself, each time, whatever its order.
    in_place_ = s.b_stays && is_plain(s, matmul_.weights());
    if (in_place_)
      matmul_ = matmul_of(s, plain(s.in));
    else
      packed_.grow(static_cast<std::int64_t>(matmul_.weights().get_size()));
  }

  void pack(const void* b, DType type) override {
    if (!in_place_) {
      matmul_.reorder(plain(type), b, packed_.data());
      b_ = packed_.data();
      return;
    }
    if (type != type_) throw std::invalid_argument("packed product: B that stays has another type");
    b_ = b;
  }
  bool in_place() const override { return in_place_; }
  std::int64_t scratch_bytes() const override { return matmul_.scratch_bytes(); }
  void run(const void* x, float* y, std::byte* scratch) const override {
    matmul_.run(x, b_, y, scratch);
  }

 private:
  static Matmul matmul_of(const PackedShape& s, const memory::desc& b) {
    return {{memory::dims{s.rows, s.inner}, type_of(s.in), memory::dims{s.x_stride, 1}},
            b,
            {memory::dims{s.rows, s.outer}, memory::data_type::f32, memory::dims{s.y_stride, 1}},
            s.accumulate};
  }
  static bool is_plain(const PackedShape& s, const memory::desc& b) {
    const memory::dims sizes{s.inner, s.outer};
    return b == memory::desc(sizes, type_of(s.in), memory::dims{s.outer, 1}) ||
           b == memory::desc(sizes, type_of(s.in), memory::dims{1, s.inner});
  }
  const memory::desc& plain(DType type) const { return type == DType::bf16 ? plain_bf16_ : plain_; }
  static memory::desc plain_of(const PackedShape& s, DType type) {
    return {{s.inner, s.outer},
            type_of(type),
            s.b_transposed ? memory::dims{1, s.b_stride} : memory::dims{s.b_stride, 1}};
  }

  DType type_;
  memory::desc plain_, plain_bf16_;
  Matmul matmul_;
  bool in_place_ = false;
  AlignedBuffer<std::byte> packed_;
  const void* b_ = nullptr;  // packed, or where it stands
};

}  // namespace

std::unique_ptr<Product> make_product(const ProductShape& shape) {
  return std::make_unique<OneDnnProduct>(shape);
}

std::unique_ptr<PackedProduct> make_packed_product(const PackedShape& shape) {
  return std::make_unique<OneDnnPackedProduct>(shape);
}

}  // namespace tutti::onednn

namespace tutti {

std::string product_library() {
  const dnnl_version_t* v = dnnl_version();
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch);
}

}  // namespace tutti
