// The limit of a training step: its products with weight matrices, run by oneDNN and nothing else.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/core/arena.h"
#include "kernels/core/dtype.h"
#include "kernels/model/transformer.h"

namespace tutti::bench {

// Products by oneDNN alone, with its own threads, weights packed in the layout that it prefers.
class Products {
 public:
  explicit Products(DType type)
      : type_(type == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32) {}

  // Adds a list `times` times.
  void add(const std::vector<ProductSize>& products, int times) {
    for (const ProductSize& product : products)
      items_.insert(items_.end(), times * product.count, &plan_of(product));
  }

  void run() {
    for (const Plan* plan : items_) plan->matmul.execute(stream_, plan->arguments);
    stream_.wait();
  }

 private:
  using memory = dnnl::memory;
  struct Plan {
    dnnl::matmul matmul;
    std::unordered_map<int, memory> arguments;
  };

  Plan& plan_of(const ProductSize& p) {
    std::unique_ptr<Plan>& plan = plans_[{p.kind, p.m, p.n, p.k}];
    if (!plan) plan = std::make_unique<Plan>(make(p));
    return *plan;
  }

  Plan make(const ProductSize& p) {
    const bool weights = p.kind == ProductSize::Kind::backward_weights;
    const memory::desc x({p.m, p.k}, type_, weights ? memory::dims{1, p.m} : memory::dims{p.k, 1});
    const memory::desc w = weights ? memory::desc({p.k, p.n}, type_, memory::dims{p.n, 1})
                                   : memory::desc({p.k, p.n}, type_, memory::format_tag::any);
    const memory::desc y({p.m, p.n}, memory::data_type::f32, memory::dims{p.n, 1});
    const dnnl::matmul::primitive_desc description({x, w, y}, engine_);
    return {dnnl::matmul(description),
            {{DNNL_ARG_SRC, filled(description.src_desc())},
             {DNNL_ARG_WEIGHTS, filled(description.weights_desc())},
             {DNNL_ARG_DST, filled(description.dst_desc())}}};
  }

  // In memory of the kind that the step's activations have, so that neither side has better pages.
  memory filled(const memory::desc& description) {
    auto& buffer = memory_.emplace_back(static_cast<std::int64_t>(description.get_size()));
    // 0.75 in either type, give or take what stands in the lower half of a float.
    std::fill_n(reinterpret_cast<std::uint16_t*>(buffer.data()), buffer.size() / 2, 0x3f40);
    return {description, engine_, buffer.data()};
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  memory::data_type type_;
  std::map<std::tuple<ProductSize::Kind, std::int64_t, std::int64_t, std::int64_t>,
           std::unique_ptr<Plan>>
      plans_;
  std::vector<Plan*> items_;
  std::deque<AlignedBuffer<std::byte>> memory_;
};

}  // namespace tutti::bench
