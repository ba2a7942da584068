#include "kernels/model/encoder.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/model/transformer_pass.h"
#include "kernels/ops/pool.h"

namespace tutti {
namespace {

// Token embeddings start larger than what the layers add to them, so that an untrained encoder
// already tells sequences apart by their words.
constexpr double kTokenDeviation = 0.1;

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

TransformerShape body_of(const EncoderShape& s) {
  require(s.heads >= 1 && s.width % s.heads == 0,
          "encoder: the width must be a multiple of the heads");
  TransformerShape body;
  body.vocabulary = s.vocabulary;
  body.width = s.width;
  body.layers = s.layers;
  body.heads = body.kv_heads = s.heads;
  body.head_size = s.width / s.heads;
  body.feed_forward = s.feed_forward;
  body.max_tokens = s.max_tokens;
  body.attention = TransformerShape::Attention::bidirectional;
  body.norm_order = s.norm_order;
  body.norm_epsilon = s.norm_epsilon;
  body.gelu = s.gelu;
  body.token_types = s.token_types;
  return body;
}

TransformerPlaces add_encoder(ArenaLayout& layout, const EncoderShape& s) {
  TransformerPlaces places = add_transformer(layout, body_of(s));
  if (s.pooler) {
    add_parameter(layout, "pooler.weight", {s.width, s.width}, false);
    add_parameter(layout, "pooler.bias", {s.width}, false);
  }
  return places;
}

}  // namespace

// Everything that does not depend on the compute type.
class Encoder::Pass {
 public:
  Pass(const EncoderShape& shape, DType compute)
      : shape_(shape), body_(body_of(shape)), compute_(compute) {
    places_ = add_encoder(layout_, shape_);
  }
  virtual ~Pass() = default;

  virtual void recompute_activations(bool recompute) = 0;
  virtual void load(std::span<const float> parameters) = 0;
  virtual void forward(const TokenBatch& batch, std::span<float> embeddings, bool keep) = 0;
  virtual void backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                        std::span<float> gradients, const FinalGradients& on_final) = 0;

  void check(const TokenBatch& batch, std::size_t embeddings) const {
    check_batch(body_, batch);
    require(embeddings == static_cast<std::size_t>(batch.size() * shape_.width),
            "encoder: the embeddings have the wrong size");
  }

  const EncoderShape shape_;
  const TransformerShape body_;
  const DType compute_;
  ArenaLayout layout_;
  TransformerPlaces places_;
  bool loaded_ = false;
  std::int64_t kept_tokens_ = -1;  // of the last forward(), -1 where backward() has nothing
};

template <class T>
class Encoder::TypedPass final : public Encoder::Pass {
 public:
  TypedPass(const EncoderShape& shape, ProductBackend backend)
      : Pass(shape, dtype_of<T>), transformer_(body_, places_, backend) {}

  void recompute_activations(bool recompute) override {
    transformer_.recompute_activations(recompute);
  }
  void load(std::span<const float> parameters) override { transformer_.load(parameters.data()); }

  void forward(const TokenBatch& batch, std::span<float> embeddings, bool keep) override {
    transformer_.forward(batch, keep);
    norms_.resize(batch.size());
    parallel_for(batch.size(), [&](std::int64_t s) {
      norms_[s] = mean_pool(transformer_.hidden(batch.offsets[s], pooled_rows(batch, s)),
                            embeddings.data() + s * shape_.width);
    });
    if (keep) embeddings_.assign(embeddings.begin(), embeddings.end());
  }

  void backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                std::span<float> gradients, const FinalGradients& on_final) override {
    transformer_.start_backward(batch);
    parallel_for(batch.size(), [&](std::int64_t s) {
      const std::int64_t first = batch.offsets[s], rows = pooled_rows(batch, s),
                         at = s * shape_.width;
      mean_pool_backward(embeddings_.data() + at, norms_[s], d_embeddings.data() + at,
                         transformer_.d_hidden(first, rows));
      zero_rows(transformer_.d_hidden(first + rows, batch.offsets[s + 1] - first - rows));
    });
    transformer_.backward(batch, gradients, on_final);
  }

 private:
  // The rows of a sequence that its embedding is the mean of.
  std::int64_t pooled_rows(const TokenBatch& batch, std::int64_t s) const {
    return shape_.pooling == EncoderShape::Pooling::first ? 1
                                                          : batch.offsets[s + 1] - batch.offsets[s];
  }
  static void zero_rows(MatrixView<float> rows) {
    for (std::int64_t r = 0; r < rows.rows; ++r) std::fill_n(rows.row(r), rows.cols, 0.0f);
  }

  TransformerPass<T> transformer_;
  std::vector<float> embeddings_, norms_;  // of the last forward()
};

ArenaLayout encoder_layout(const EncoderShape& shape) {
  ArenaLayout layout;
  add_encoder(layout, shape);
  return layout;
}

Encoder::Encoder(const EncoderShape& shape, DType compute, ProductBackend backend) {
  require(compute == DType::f32 || compute == DType::bf16,
          "encoder: products are computed in f32 or bf16");
  if (compute == DType::bf16)
    pass_ = std::make_unique<TypedPass<bf16>>(shape, backend);
  else
    pass_ = std::make_unique<TypedPass<float>>(shape, backend);
}

Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;

const EncoderShape& Encoder::shape() const { return pass_->shape_; }
const ArenaLayout& Encoder::layout() const { return pass_->layout_; }
DType Encoder::compute() const { return pass_->compute_; }

void Encoder::initialize(std::span<float> parameters, std::uint64_t seed) const {
  initialize_transformer(layout(), shape().layers, kTokenDeviation, parameters, seed);
}

void Encoder::load_parameters(std::span<const float> parameters) {
  require(static_cast<std::int64_t>(parameters.size()) == layout().padded_size(),
          "encoder: the arena has the wrong size");
  pass_->loaded_ = true;
  pass_->kept_tokens_ = -1;
  pass_->load(parameters);
}

void Encoder::recompute_activations(bool recompute) {
  pass_->kept_tokens_ = -1;
  pass_->recompute_activations(recompute);
}

void Encoder::embed(const TokenBatch& batch, std::span<float> embeddings) {
  require(pass_->loaded_, "encoder: no parameters were loaded");
  pass_->check(batch, embeddings.size());
  pass_->kept_tokens_ = -1;
  pass_->forward(batch, embeddings, false);
}

void Encoder::forward(const TokenBatch& batch, std::span<float> embeddings) {
  require(pass_->loaded_, "encoder: no parameters were loaded");
  pass_->check(batch, embeddings.size());
  pass_->forward(batch, embeddings, true);
  pass_->kept_tokens_ = static_cast<std::int64_t>(batch.tokens.size());
}

void Encoder::backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                       std::span<float> gradients, const FinalGradients& on_final) {
  pass_->check(batch, d_embeddings.size());
  require(pass_->kept_tokens_ == static_cast<std::int64_t>(batch.tokens.size()),
          "encoder: backward() without forward() of the same batch before");
  require(static_cast<std::int64_t>(gradients.size()) == layout().padded_size(),
          "encoder: the gradients have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->backward(batch, d_embeddings, gradients, on_final);
}

std::vector<ProductSize> Encoder::forward_products(std::int64_t tokens) const {
  std::vector<ProductSize> products;
  add_products(products, pass_->body_, tokens, ProductSize::Kind::forward);
  return products;
}

std::vector<ProductSize> Encoder::backward_products(std::int64_t tokens) const {
  std::vector<ProductSize> products;
  add_products(products, pass_->body_, tokens, ProductSize::Kind::backward_data);
  add_products(products, pass_->body_, tokens, ProductSize::Kind::backward_weights);
  return products;
}

std::int64_t Encoder::product_flops(std::int64_t tokens) const {
  std::int64_t total = 0;
  for (const ProductSize& product : forward_products(tokens)) total += product.flops();
  for (const ProductSize& product : backward_products(tokens)) total += product.flops();
  return total;
}

}  // namespace tutti
