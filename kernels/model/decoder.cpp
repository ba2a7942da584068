#include "kernels/model/decoder.h"

#include <stdexcept>

#include "kernels/model/decoder_head.h"
#include "kernels/model/transformer_pass.h"

namespace tutti {
namespace {

constexpr double kTokenDeviation = 0.02;

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

TransformerPlaces add_decoder(ArenaLayout& layout, const DecoderShape& shape,
                              ParameterPlace* head) {
  require(shape.body.attention == TransformerShape::Attention::causal,
          "decoder: attention must be causal");
  TransformerPlaces places = add_transformer(layout, shape.body);
  *head = shape.tied_head ? places.token
                          : add_parameter(layout, "head.weight",
                                          {shape.body.vocabulary, shape.body.width}, true);
  return places;
}

double sum_of(std::span<const float> losses) {
  double sum = 0;
  for (const float loss : losses) sum += double(loss);
  return sum;
}

}  // namespace

DecoderShape gpt2_shape(std::int64_t vocabulary, std::int64_t width, std::int64_t layers,
                        std::int64_t heads, std::int64_t max_tokens) {
  require(heads >= 1 && width % heads == 0, "decoder: the width must be a multiple of the heads");
  DecoderShape shape;
  shape.body.vocabulary = vocabulary;
  shape.body.width = width;
  shape.body.layers = layers;
  shape.body.heads = shape.body.kv_heads = heads;
  shape.body.head_size = width / heads;
  shape.body.feed_forward = 4 * width;
  shape.body.max_tokens = max_tokens;
  return shape;
}

ArenaLayout decoder_layout(const DecoderShape& shape) {
  ArenaLayout layout;
  ParameterPlace head;
  add_decoder(layout, shape, &head);
  return layout;
}

// Everything that does not depend on the compute type.
class Decoder::Pass {
 public:
  Pass(const DecoderShape& shape, DType compute) : shape_(shape), compute_(compute) {
    places_ = add_decoder(layout_, shape, &head_);
  }
  virtual ~Pass() = default;

  virtual void load(std::span<const float> parameters) = 0;
  virtual void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
                      const CrossEntropyOptions& options, std::span<float> losses) = 0;
  virtual void forward(const TokenBatch& batch) = 0;
  virtual void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                        const CrossEntropyOptions& options, std::span<float> losses,
                        std::span<float> gradients) = 0;
  virtual void logits(const TokenBatch& batch, std::span<float> logits) = 0;

  void check(const TokenBatch& batch) const {
    require(loaded_, "decoder: no parameters were loaded");
    check_batch(shape_.body, batch);
  }
  void check(const TokenBatch& batch, std::span<const std::int32_t> targets) const {
    check(batch);
    require(targets.size() == batch.tokens.size(), "decoder: every token needs a target");
    for (const std::int32_t target : targets)
      require(target < shape_.body.vocabulary, "decoder: a target is outside the vocabulary");
  }

  const DecoderShape shape_;
  const DType compute_;
  ArenaLayout layout_;
  TransformerPlaces places_;
  ParameterPlace head_;
  bool loaded_ = false;
  std::int64_t kept_tokens_ = -1;  // of the last forward(), -1 where backward() has nothing
  std::vector<float> losses_;      // of the last batch
};

template <class T>
class Decoder::TypedPass final : public Decoder::Pass {
 public:
  TypedPass(const DecoderShape& shape, ProductBackend backend)
      : Pass(shape, dtype_of<T>),
        body_(shape_.body, places_, backend),
        head_pass_(shape_.body.vocabulary, shape_.body.width, body_.panel_rows(), backend) {}

  void load(std::span<const float> parameters) override {
    body_.load(parameters.data());
    head_pass_.load(parameters.data() + head_.offset);
  }

  void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
              const CrossEntropyOptions& options, std::span<float> losses) override {
    body_.forward(batch, false);
    head_pass_.losses(body_, targets, options, losses);
  }

  void forward(const TokenBatch& batch) override { body_.forward(batch, true); }

  void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                const CrossEntropyOptions& options, std::span<float> losses,
                std::span<float> gradients) override {
    body_.start_backward(batch);
    head_pass_.losses_and_gradients(body_, targets, options, losses,
                                    gradients.data() + head_.offset);
    body_.backward(batch, gradients);
  }

  void logits(const TokenBatch& batch, std::span<float> logits) override {
    body_.forward(batch, false);
    head_pass_.logits(body_, std::ssize(batch.tokens), logits);
  }

 private:
  TransformerPass<T> body_;
  DecoderHead<T> head_pass_;
};

Decoder::Decoder(const DecoderShape& shape, DType compute, ProductBackend backend) {
  require(compute == DType::f32 || compute == DType::bf16,
          "decoder: products are computed in f32 or bf16");
  if (compute == DType::bf16)
    pass_ = std::make_unique<TypedPass<bf16>>(shape, backend);
  else
    pass_ = std::make_unique<TypedPass<float>>(shape, backend);
}

Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

const DecoderShape& Decoder::shape() const { return pass_->shape_; }
const ArenaLayout& Decoder::layout() const { return pass_->layout_; }
DType Decoder::compute() const { return pass_->compute_; }

void Decoder::initialize(std::span<float> parameters, std::uint64_t seed) const {
  initialize_transformer(layout(), shape().body.layers, kTokenDeviation, parameters, seed);
}

void Decoder::load_parameters(std::span<const float> parameters) {
  require(std::ssize(parameters) == layout().padded_size(),
          "decoder: the arena has the wrong size");
  pass_->loaded_ = true;
  pass_->kept_tokens_ = -1;
  pass_->load(parameters);
}

double Decoder::loss(const TokenBatch& batch, std::span<const std::int32_t> targets,
                     const CrossEntropyOptions& options, std::span<float> losses) {
  pass_->check(batch, targets);
  require(losses.empty() || losses.size() == targets.size(),
          "decoder: the losses have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->losses_.resize(targets.size());
  const std::span<float> each = losses.empty() ? std::span(pass_->losses_) : losses;
  pass_->losses(batch, targets, options, each);
  return sum_of(each);
}

void Decoder::forward(const TokenBatch& batch) {
  pass_->check(batch);
  pass_->forward(batch);
  pass_->kept_tokens_ = std::ssize(batch.tokens);
}

double Decoder::backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                         std::span<float> gradients, const CrossEntropyOptions& options) {
  pass_->check(batch, targets);
  require(pass_->kept_tokens_ == std::ssize(batch.tokens),
          "decoder: backward() without forward() of the same batch before");
  require(std::ssize(gradients) == layout().padded_size(),
          "decoder: the gradients have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->losses_.resize(targets.size());
  pass_->backward(batch, targets, options, pass_->losses_, gradients);
  return sum_of(pass_->losses_);
}

void Decoder::logits(const TokenBatch& batch, std::span<float> logits) {
  pass_->check(batch);
  require(std::ssize(logits) == std::ssize(batch.tokens) * shape().body.vocabulary,
          "decoder: the logits have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->logits(batch, logits);
}

std::vector<ProductSize> Decoder::forward_products(std::int64_t tokens) const {
  const auto kind = ProductSize::Kind::forward;
  const TransformerShape& body = shape().body;
  std::vector<ProductSize> products;
  add_products(products, body, tokens, kind);
  products.push_back(product_with(body.vocabulary, body.width, tokens, kind, 1));
  return products;
}

std::vector<ProductSize> Decoder::backward_products(std::int64_t tokens) const {
  const TransformerShape& body = shape().body;
  std::vector<ProductSize> products;
  for (const auto kind : {ProductSize::Kind::backward_data, ProductSize::Kind::backward_weights}) {
    add_products(products, body, tokens, kind);
    products.push_back(product_with(body.vocabulary, body.width, tokens, kind, 1));
  }
  return products;
}

std::int64_t Decoder::product_flops(std::int64_t tokens) const {
  std::int64_t total = 0;
  for (const ProductSize& product : forward_products(tokens)) total += product.flops();
  for (const ProductSize& product : backward_products(tokens)) total += product.flops();
  return total;
}

}  // namespace tutti
