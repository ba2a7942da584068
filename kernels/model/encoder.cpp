#include "kernels/model/encoder.h"

#include <stdexcept>

#include "kernels/model/encoder_pass.h"

namespace tutti {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

void check_batch(const EncoderShape& shape, const TokenBatch& batch, std::size_t embeddings) {
  require(batch.size() >= 1 && batch.offsets[0] == 0 &&
              batch.offsets.back() == static_cast<std::int64_t>(batch.tokens.size()),
          "encoder: the batch's offsets do not span its tokens");
  for (std::int64_t s = 0; s < batch.size(); ++s) {
    const std::int64_t length = std::int64_t{batch.offsets[s + 1]} - batch.offsets[s];
    require(length >= 1, "encoder: a sequence is empty");
    require(length <= shape.max_tokens, "encoder: a sequence is longer than max_tokens");
  }
  for (const std::int32_t token : batch.tokens)
    require(token >= 0 && token < shape.vocabulary, "encoder: a token is outside the vocabulary");
  require(embeddings == static_cast<std::size_t>(batch.size() * shape.width),
          "encoder: the embeddings have the wrong size");
}

// A layer's four weight matrices and one kind of product each, `layers` times.
void add_products(std::vector<ProductSize>& products, const EncoderShape& s, std::int64_t tokens,
                  ProductSize::Kind kind) {
  const std::int64_t matrices[4][2] = {{3 * s.width, s.width},
                                       {s.width, s.width},
                                       {s.feed_forward, s.width},
                                       {s.width, s.feed_forward}};
  for (const auto& [outputs, inputs] : matrices) {
    switch (kind) {
      case ProductSize::Kind::forward:
        products.push_back({kind, tokens, outputs, inputs, s.layers});
        break;
      case ProductSize::Kind::backward_data:
        products.push_back({kind, tokens, inputs, outputs, s.layers});
        break;
      case ProductSize::Kind::backward_weights:
        products.push_back({kind, outputs, inputs, tokens, s.layers});
        break;
    }
  }
}

}  // namespace

ArenaLayout encoder_layout(const EncoderShape& shape) { return encoder_parameters(shape).layout; }

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
const ArenaLayout& Encoder::layout() const { return pass_->parameters_.layout; }
DType Encoder::compute() const { return pass_->compute_; }

void Encoder::initialize(std::span<float> parameters, std::uint64_t seed) const {
  initialize_encoder(shape(), parameters, seed);
}

void Encoder::load_parameters(std::span<const float> parameters) {
  require(static_cast<std::int64_t>(parameters.size()) == layout().padded_size(),
          "encoder: the arena has the wrong size");
  pass_->arena_ = parameters;
  pass_->kept_tokens_ = -1;
  pass_->load();
}

void Encoder::embed(const TokenBatch& batch, std::span<float> embeddings) {
  require(!pass_->arena_.empty(), "encoder: no parameters were loaded");
  check_batch(shape(), batch, embeddings.size());
  pass_->kept_tokens_ = -1;
  pass_->forward(batch, embeddings, false);
}

void Encoder::forward(const TokenBatch& batch, std::span<float> embeddings) {
  require(!pass_->arena_.empty(), "encoder: no parameters were loaded");
  check_batch(shape(), batch, embeddings.size());
  pass_->forward(batch, embeddings, true);
  pass_->kept_tokens_ = static_cast<std::int64_t>(batch.tokens.size());
}

void Encoder::backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                       std::span<float> gradients) {
  check_batch(shape(), batch, d_embeddings.size());
  require(pass_->kept_tokens_ == static_cast<std::int64_t>(batch.tokens.size()),
          "encoder: backward() without forward() of the same batch before");
  require(static_cast<std::int64_t>(gradients.size()) == layout().padded_size(),
          "encoder: the gradients have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->backward(batch, d_embeddings, gradients);
}

std::vector<ProductSize> Encoder::forward_products(std::int64_t tokens) const {
  std::vector<ProductSize> products;
  add_products(products, shape(), tokens, ProductSize::Kind::forward);
  return products;
}

std::vector<ProductSize> Encoder::backward_products(std::int64_t tokens) const {
  std::vector<ProductSize> products;
  add_products(products, shape(), tokens, ProductSize::Kind::backward_data);
  add_products(products, shape(), tokens, ProductSize::Kind::backward_weights);
  return products;
}

std::int64_t Encoder::product_flops(std::int64_t tokens) const {
  std::int64_t total = 0;
  for (const ProductSize& product : forward_products(tokens)) total += product.flops();
  for (const ProductSize& product : backward_products(tokens)) total += product.flops();
  return total;
}

}  // namespace tutti
