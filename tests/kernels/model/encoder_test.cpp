#include "kernels/model/encoder.h"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/model/encoder_support.h"

namespace tutti {
namespace {

using test::Batch, test::embed, test::gradient, test::lively_parameters;

constexpr EncoderShape kShape{.vocabulary = test::kEncoderVocabulary,
                              .width = 24,
                              .layers = 2,
                              .heads = 3,
                              .feed_forward = 40,
                              .max_tokens = 20};

TEST(Encoder, EmbeddingsHaveUnitLength) {
  Encoder encoder(kShape, DType::f32);
  const auto parameters = lively_parameters(encoder, 1);
  encoder.load_parameters(parameters);
  const auto e = embed(encoder, Batch(1, {1, 5, 20, 17}));
  for (int s = 0; s < 4; ++s) {
    double squares = 0;
    for (int c = 0; c < kShape.width; ++c) squares += double(e[s * 24 + c]) * e[s * 24 + c];
    EXPECT_NEAR(squares, 1, 1e-5);
  }
}

TEST(Encoder, ForwardGivesTheBytesOfEmbed) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    Encoder encoder(kShape, compute);
    const auto parameters = lively_parameters(encoder, 1);
    encoder.load_parameters(parameters);
    const Batch batch(1, {1, 5, 20, 17, 20, 20, 3});
    std::vector<float> kept(7 * kShape.width);
    encoder.forward(batch.view(), kept);
    EXPECT_TRUE(test::same_bytes(embed(encoder, batch), kept));
  }
}

TEST(Encoder, SequencesDoNotSeeEachOther) {
  Encoder encoder(kShape, DType::f32);
  const auto parameters = lively_parameters(encoder, 1);
  encoder.load_parameters(parameters);
  embed(encoder, Batch(5, {20, 20, 20, 20, 20}));  // leaves its traces in every buffer
  const Batch both(1, {7, 12});
  const auto together = embed(encoder, both);
  Batch second(1, {});
  second.tokens.assign(both.tokens.begin() + 7, both.tokens.end());
  second.offsets = {0, 12};
  test::expect_near(embed(encoder, second),
                    std::vector<float>(together.begin() + kShape.width, together.end()), 1e-6);
}

TEST(Encoder, GradientMatchesFiniteDifferences) {
  Encoder encoder(kShape, DType::f32);
  test::expect_gradient_matches_finite_differences(encoder, lively_parameters(encoder, 3),
                                                   Batch(2, {1, 6, 20, 11}));
}

TEST(Encoder, GradientAccumulatesAndLeavesGapsAlone) {
  Encoder encoder(kShape, DType::f32);
  const auto parameters = lively_parameters(encoder, 3);
  encoder.load_parameters(parameters);
  const Batch batch(2, {3, 9});
  const auto d = test::random_values(4, 2 * kShape.width);
  const auto once = gradient(encoder, batch, d);
  std::vector<float> embeddings(d.size()), sum(once.size(), 1.0f);
  encoder.forward(batch.view(), embeddings);
  encoder.backward(batch.view(), d, sum);
  for (std::size_t i = 0; i < sum.size(); ++i) ASSERT_NEAR(sum[i], 1.0f + once[i], 1e-5);
  const Parameter& bias = encoder.layout().find("layer0.ff1.bias");
  EXPECT_EQ(once[bias.offset + bias.size], 0.0f);
  EXPECT_EQ(once.back(), 0.0f);
}

TEST(Encoder, BFloat16IsCloseToF32) {
  Encoder wide(kShape, DType::f32), narrow(kShape, DType::bf16);
  const auto parameters = lively_parameters(wide, 3);
  wide.load_parameters(parameters);
  narrow.load_parameters(parameters);
  const Batch batch(2, {1, 6, 20, 11});
  test::expect_near(embed(narrow, batch), embed(wide, batch), 0.02);
  const auto d = test::random_values(4, 4 * kShape.width);
  const auto a = gradient(narrow, batch, d), b = gradient(wide, batch, d);
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  EXPECT_LT(std::sqrt(difference), 0.03 * std::sqrt(norm));
}

TEST(Encoder, BackendsAgree) {
  const Batch batch(2, {1, 6, 20, 11});
  const auto d = test::random_values(4, 4 * kShape.width);
  std::vector<float> expected;
  for (const auto backend : {ProductBackend::reference, ProductBackend::onednn,
                             ProductBackend::openblas, ProductBackend::automatic}) {
    Encoder encoder(kShape, DType::f32, backend);
    const auto parameters = lively_parameters(encoder, 3);
    encoder.load_parameters(parameters);
    const auto gradients = gradient(encoder, batch, d);
    if (expected.empty()) expected = gradients;
    test::expect_near(gradients, expected, 1e-5, 1e-3);
  }
}

// Wide enough for several blocks, panels and chunks.
TEST(Encoder, BytesDoNotDependOnThreads) {
  constexpr EncoderShape kWide{.vocabulary = 100,
                               .width = 64,
                               .layers = 2,
                               .heads = 2,
                               .feed_forward = 768,
                               .max_tokens = 100};
  for (const DType compute : {DType::f32, DType::bf16}) {
    Encoder encoder(kWide, compute);
    std::vector<float> parameters(encoder.layout().padded_size());
    encoder.initialize(parameters, 1);
    encoder.load_parameters(parameters);
    const Batch batch(2, {100, 3, 77, 50, 100, 64, 99, 100, 100}, kWide.vocabulary);
    const auto d = test::random_values(4, 9 * kWide.width);
    test::expect_same_bytes_for_any_threads([&] { return embed(encoder, batch); });
    test::expect_same_bytes_for_any_threads([&] { return gradient(encoder, batch, d); });
  }
}

TEST(Encoder, InitializationIsAFunctionOfTheSeed) {
  const Encoder encoder(kShape, DType::f32);
  const auto values = [&](std::uint64_t seed) {
    std::vector<float> parameters(encoder.layout().padded_size(), 7.0f);
    encoder.initialize(parameters, seed);
    return parameters;
  };
  EXPECT_TRUE(test::same_bytes(values(1), values(1)));
  EXPECT_FALSE(test::same_bytes(values(1), values(2)));
  test::expect_same_bytes_for_any_threads([&] { return values(3); });
  const auto p = values(1);
  EXPECT_EQ(p[encoder.layout().find("layer1.norm2.gain").offset], 1.0f);
  EXPECT_EQ(p[encoder.layout().find("layer1.norm2.bias").offset], 0.0f);
  EXPECT_EQ(p.back(), 0.0f);
}

TEST(Encoder, LayoutListsEveryParameter) {
  const ArenaLayout layout = encoder_layout(kShape);
  EXPECT_EQ(layout.parameters().size(), 2u + 2 * 12 + 2);
  EXPECT_EQ(layout.find("token.embedding").shape, (std::vector<std::int64_t>{31, 24}));
  EXPECT_EQ(layout.find("layer0.qkv.weight").shape, (std::vector<std::int64_t>{72, 24}));
  EXPECT_TRUE(layout.find("layer0.qkv.weight").decay);
  EXPECT_FALSE(layout.find("layer0.qkv.bias").decay);
  EXPECT_FALSE(layout.find("final_norm.gain").decay);
}

TEST(Encoder, CountsItsProducts) {
  const Encoder encoder(kShape, DType::f32);
  const std::int64_t weights = 2 * (4 * 24 * 24 + 2 * 24 * 40);  // in two layers
  EXPECT_EQ(encoder.product_flops(10), 3 * 2 * 10 * weights);
  EXPECT_EQ(encoder.forward_products(10).size(), 4u);
  EXPECT_EQ(encoder.backward_products(10).size(), 8u);
}

TEST(Encoder, RejectsImpossibleShapes) {
  EncoderShape s = kShape;
  s.heads = 5;
  EXPECT_THROW(Encoder(s, DType::f32), std::invalid_argument);
  s = kShape;
  s.layers = 0;
  EXPECT_THROW(Encoder(s, DType::f32), std::invalid_argument);
  EXPECT_THROW(Encoder(kShape, DType::f16), std::invalid_argument);
}

TEST(Encoder, RejectsMisuse) {
  Encoder encoder(kShape, DType::f32);
  std::vector<float> e(kShape.width);
  const Batch good(1, {3});
  EXPECT_THROW(encoder.embed(good.view(), e), std::invalid_argument);  // nothing loaded
  const auto parameters = lively_parameters(encoder, 1);
  EXPECT_THROW(encoder.load_parameters(std::span(parameters).first(64)), std::invalid_argument);
  encoder.load_parameters(parameters);
  EXPECT_THROW(encoder.embed(Batch(1, {21}).view(), e), std::invalid_argument);
  EXPECT_THROW(encoder.embed(Batch(1, {}).view(), {}), std::invalid_argument);
  EXPECT_THROW(encoder.embed(good.view(), std::span(e).first(5)), std::invalid_argument);
  Batch bad = good;
  bad.tokens[1] = kShape.vocabulary;
  EXPECT_THROW(encoder.embed(bad.view(), e), std::invalid_argument);
  bad.tokens[1] = -1;
  EXPECT_THROW(encoder.embed(bad.view(), e), std::invalid_argument);
  bad = good;
  bad.offsets = {0, 0, 3};
  std::vector<float> two(2 * kShape.width);
  EXPECT_THROW(encoder.embed(bad.view(), two), std::invalid_argument);
  std::vector<float> gradients(encoder.layout().padded_size());
  EXPECT_THROW(encoder.backward(good.view(), e, gradients), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
