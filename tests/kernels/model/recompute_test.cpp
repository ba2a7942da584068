// Activations that are computed once more in the backward pass: the same bytes as kept ones.
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/model/decoder.h"
#include "kernels/model/encoder.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kVocabulary = 300;

DecoderShape gpt2() { return gpt2_shape(kVocabulary, 33, 3, 3, 90); }

// Grouped queries, a gated unit of several blocks, a head of its own.
DecoderShape llama() {
  DecoderShape shape = gpt2_shape(kVocabulary, 24, 3, 4, 90);
  TransformerShape& b = shape.body;
  b.kv_heads = 2;
  b.head_size = 10;
  b.feed_forward = 1056;
  b.feed_forward_kind = TransformerShape::FeedForward::swiglu;
  b.norm = NormKind::root_mean_square;
  b.learned_positions = b.qkv_bias = b.linear_bias = false;
  shape.tied_head = false;
  return shape;
}

EncoderShape encoder_shape(TransformerShape::NormOrder order) {
  EncoderShape shape{.vocabulary = kVocabulary,
                     .width = 33,
                     .layers = 3,
                     .heads = 3,
                     .feed_forward = 70,
                     .max_tokens = 90,
                     .norm_order = order};
  if (order == TransformerShape::NormOrder::after) shape.token_types = 2;
  return shape;
}

struct Batch {
  std::vector<std::int32_t> tokens, targets, offsets{0};

  explicit Batch(const std::vector<int>& lengths) {
    for (const int length : lengths) {
      for (int i = 0; i < length; ++i) {
        targets.push_back(static_cast<std::int32_t>(random_u64(7, 1, tokens.size()) % kVocabulary));
        tokens.push_back(static_cast<std::int32_t>(random_u64(7, 0, tokens.size()) % kVocabulary));
      }
      offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    }
  }
  TokenBatch view() const { return {tokens, offsets}; }
};

// Each leaves its traces in every buffer.
std::vector<Batch> batches() {
  return {Batch({80, 33, 64, 90}), Batch({5, 1}), Batch({90, 90, 40, 3, 70, 70})};
}

// Starts from small random values, so that every part counts.
std::vector<float> lively(std::vector<float> parameters) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    parameters[i] += float(0.1 * random_normal(3, 99, i));
  return parameters;
}

// Gradients of batch after batch, and losses in between, one behind the other.
std::vector<float> gradients_of(Decoder& decoder) {
  std::vector<float> all;
  for (const Batch& batch : batches()) {
    std::vector<float> gradients(decoder.layout().padded_size());
    decoder.forward(batch.view());
    gradients.push_back(float(decoder.backward(batch.view(), batch.targets, gradients)));
    gradients.push_back(float(decoder.loss(batch.view(), batch.targets)));
    all.insert(all.end(), gradients.begin(), gradients.end());
  }
  return all;
}

std::vector<float> gradients_of(Encoder& encoder) {
  std::vector<float> all;
  for (const Batch& batch : batches()) {
    std::vector<float> gradients(encoder.layout().padded_size());
    std::vector<float> embeddings(batch.view().size() * encoder.shape().width);
    encoder.embed(batch.view(), embeddings);
    encoder.forward(batch.view(), embeddings);
    const auto d = test::random_values(4, std::ssize(embeddings));
    encoder.backward(batch.view(), d, gradients);
    all.insert(all.end(), embeddings.begin(), embeddings.end());
    all.insert(all.end(), gradients.begin(), gradients.end());
  }
  return all;
}

template <class Model>
void expect_the_same(Model& model, const std::vector<float>& parameters) {
  model.load_parameters(parameters);
  const std::vector<float> kept = gradients_of(model);
  model.recompute_activations(true);
  EXPECT_TRUE(test::same_bytes(gradients_of(model), kept));
  test::expect_same_bytes_for_any_threads([&] { return gradients_of(model); });
  model.recompute_activations(false);
  EXPECT_TRUE(test::same_bytes(gradients_of(model), kept)) << "and back again";
}

template <class Model>
void expect_the_same(Model&& model) {
  std::vector<float> parameters(model.layout().padded_size());
  model.initialize(parameters, 3);
  expect_the_same(model, lively(parameters));
}

TEST(Recompute, GradientsOfDecodersAreTheBytesOfKeptActivations) {
  DecoderShape windowed = llama();
  windowed.body.qkv_bias = windowed.body.linear_bias = windowed.tied_head = true;
  windowed.body.window = 7;
  for (const DType type : {DType::f32, DType::bf16})
    for (const DecoderShape& shape : {gpt2(), llama(), windowed})
      expect_the_same(Decoder(shape, type));
}

TEST(Recompute, GradientsOfEncodersAreTheBytesOfKeptActivations) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const auto order :
         {TransformerShape::NormOrder::before, TransformerShape::NormOrder::after})
      expect_the_same(Encoder(encoder_shape(order), type));
}

TEST(Recompute, GradientsOfAdaptersAreTheBytesOfKeptActivations) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const bool gated : {false, true}) {
      const DecoderShape shape = gated ? llama() : gpt2();
      const AdapterShape adapters =
          gated ? AdapterShape{4, 8, {"query", "value", "out", "gate", "up", "ff2"}}
                : AdapterShape{5, 10, {"qkv", "out", "ff1", "ff2"}};
      Decoder decoder(shape, adapters, type);
      const ArenaLayout layout = decoder_layout(shape);
      std::vector<float> base(layout.padded_size());
      Decoder(shape, DType::f32).initialize(base, 3);
      base = lively(base);
      for (const Parameter& p : layout.parameters())
        decoder.load_frozen(p.name, view_of(p, std::span<const float>(base)));
      expect_the_same(decoder, lively(std::vector<float>(decoder.layout().padded_size())));
    }
}

TEST(Recompute, ABackwardPassNeedsAForwardPassOfItsKind) {
  Decoder decoder(gpt2(), DType::f32);
  std::vector<float> parameters(decoder.layout().padded_size()), gradients = parameters;
  decoder.initialize(parameters, 1);
  decoder.load_parameters(parameters);
  const Batch batch({4});
  decoder.forward(batch.view());
  decoder.recompute_activations(true);
  EXPECT_THROW(decoder.backward(batch.view(), batch.targets, gradients), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
