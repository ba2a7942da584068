// Decoders that are trained with dropout.
#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/model/decoder.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kVocabulary = 97;
constexpr float kRate = 0.2f;

DecoderShape gpt2() { return gpt2_shape(kVocabulary, 24, 2, 3, 90); }

DecoderShape llama() {
  DecoderShape shape = gpt2();
  TransformerShape& b = shape.body;
  b.feed_forward_kind = TransformerShape::FeedForward::swiglu;
  b.norm = NormKind::root_mean_square;
  b.learned_positions = b.qkv_bias = b.linear_bias = false;
  return shape;
}

// Sequences with keys of their own, whatever comes before them.
struct Batch {
  std::vector<std::int32_t> tokens, targets, offsets{0};
  std::vector<std::uint64_t> keys;

  explicit Batch(const std::vector<int>& lengths) {
    for (const int length : lengths) {
      for (int i = 0; i < length; ++i) {
        const auto drawn = [&](std::uint64_t stream) {
          return random_u64(std::uint64_t(length), stream, std::uint64_t(i));
        };
        tokens.push_back(static_cast<std::int32_t>(drawn(0) % kVocabulary));
        targets.push_back(static_cast<std::int32_t>(drawn(1) % kVocabulary));
        keys.push_back(drawn(2));
      }
      offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    }
  }
  TokenBatch view() const { return {tokens, offsets}; }
};

std::vector<float> lively_parameters(const Decoder& decoder) {
  std::vector<float> parameters(decoder.layout().padded_size());
  decoder.initialize(parameters, 3);
  for (const Parameter& p : decoder.layout().parameters())
    for (std::int64_t i = p.offset; i < p.offset + p.size; ++i)
      parameters[i] += float(0.2 * random_normal(3, 99, std::uint64_t(i)));
  return parameters;
}

double loss_and_gradient(Decoder& decoder, const Batch& batch, std::span<float> gradients) {
  decoder.forward(batch.view(), {kRate, batch.keys});
  return decoder.backward(batch.view(), batch.targets, gradients);
}

TEST(DecoderDropout, GradientIsThatOfTheLossWithTheSameMask) {
  const Batch batch({9, 30});
  for (const DecoderShape& shape : {gpt2(), llama()}) {
    Decoder decoder(shape, DType::f32);
    const std::vector<float> parameters = lively_parameters(decoder);
    std::vector<float> gradients(parameters.size()), unused(parameters.size());
    decoder.load_parameters(parameters);
    loss_and_gradient(decoder, batch, gradients);
    for (const Parameter& p : decoder.layout().parameters()) {
      double norm = 0;
      for (const float g : view_of(p, std::span<const float>(gradients)))
        norm += double(g) * double(g);
      norm = std::sqrt(norm);
      ASSERT_GT(norm, 0) << p.name;
      constexpr double kStep = 4e-3;
      std::vector<float> above = parameters, below = parameters;
      for (std::int64_t i = p.offset; i < p.offset + p.size; ++i) {
        above[i] += float(kStep * double(gradients[i]) / norm);
        below[i] -= float(kStep * double(gradients[i]) / norm);
      }
      decoder.load_parameters(above);
      const double up = loss_and_gradient(decoder, batch, unused);
      decoder.load_parameters(below);
      const double down = loss_and_gradient(decoder, batch, unused);
      EXPECT_NEAR((up - down) / (2 * kStep), norm, 0.02 * norm + 0.02) << p.name;
    }
  }
}

// Batches of one sequence each drop what they drop together.
TEST(DecoderDropout, DoesNotDependOnTheBatch) {
  Decoder decoder(gpt2(), DType::f32);
  const std::vector<float> parameters = lively_parameters(decoder);
  decoder.load_parameters(parameters);
  std::vector<float> together(parameters.size()), apart(parameters.size());
  const double loss = loss_and_gradient(decoder, Batch({70, 31, 5}), together);
  double sum = 0;
  for (const int length : {70, 31, 5}) sum += loss_and_gradient(decoder, Batch({length}), apart);
  EXPECT_NEAR(sum, loss, 1e-5 * loss);
  test::expect_near(apart, together, 1e-3, 1e-3);
  const Batch one({70});
  std::vector<float> unused(parameters.size());
  decoder.forward(one.view());
  const double without = decoder.backward(one.view(), one.targets, unused);
  EXPECT_NE(loss_and_gradient(decoder, one, unused), without);
}

TEST(DecoderDropout, SameBytesForAnyThreadsKeptOrRecomputed) {
  const Batch batch({80, 33, 64});
  for (const DType type : {DType::f32, DType::bf16})
    for (const DecoderShape& shape : {gpt2(), llama()}) {
      Decoder decoder(shape, type);
      const std::vector<float> parameters = lively_parameters(decoder);
      decoder.load_parameters(parameters);
      const auto gradients = [&] {
        std::vector<float> all(parameters.size());
        const double loss = loss_and_gradient(decoder, batch, all);
        all.push_back(float(loss));
        return all;
      };
      const auto kept = gradients();
      test::expect_same_bytes_for_any_threads(gradients);
      decoder.recompute_activations(true);
      EXPECT_TRUE(test::same_bytes(gradients(), kept));
      test::expect_same_bytes_for_any_threads(gradients);
    }
}

TEST(DecoderDropout, RejectsMisuse) {
  Decoder decoder(gpt2(), DType::f32);
  const std::vector<float> parameters = lively_parameters(decoder);
  decoder.load_parameters(parameters);
  const Batch batch({4});
  EXPECT_THROW(decoder.forward(batch.view(), {0.5f, {}}), std::invalid_argument);
  EXPECT_THROW(decoder.forward(batch.view(), {1.0f, batch.keys}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
