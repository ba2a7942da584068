// Encoders of BERT's form: norms after the sums, token types, the exact GELU.
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/ops/gelu.h"
#include "kernels/ops/layer_norm.h"
#include "tests/kernels/model/encoder_support.h"

namespace tutti {
namespace {

using test::Batch, test::embed, test::gradient, test::lively_parameters;
using Matrix = std::vector<std::vector<double>>;

constexpr EncoderShape kBert{.vocabulary = test::kEncoderVocabulary,
                             .width = 24,
                             .layers = 2,
                             .heads = 3,
                             .feed_forward = 40,
                             .max_tokens = 20,
                             .norm_order = TransformerShape::NormOrder::after,
                             .norm_epsilon = 1e-12f,
                             .gelu = GeluForm::exact,
                             .token_types = 2,
                             .pooler = true};

EncoderShape pooled_from_the_first() {
  EncoderShape shape = kBert;
  shape.pooling = EncoderShape::Pooling::first;
  return shape;
}

// BERT as its paper describes it, over one sequence, in double and plain loops.
class PlainBert {
 public:
  PlainBert(const Encoder& encoder, const std::vector<float>& parameters)
      : s_(encoder.shape()), layout_(encoder.layout()), parameters_(parameters) {}

  std::vector<double> embed(std::span<const std::int32_t> tokens) const {
    const auto token = of("token.embedding"), position = of("position.embedding"),
               type = of("type.embedding");
    Matrix x(tokens.size(), std::vector<double>(s_.width));
    for (std::size_t t = 0; t < tokens.size(); ++t)
      for (std::int64_t c = 0; c < s_.width; ++c)
        x[t][c] = token[tokens[t] * s_.width + c] + position[t * s_.width + c] + type[c];
    x = norm(x, "layer0.norm1");
    for (std::int64_t l = 0; l < s_.layers; ++l) {
      const std::string name = "layer" + std::to_string(l);
      x = norm(sum(x, linear(attention(linear(x, name + ".qkv")), name + ".out")), name + ".norm2");
      Matrix inner = linear(x, name + ".ff1");
      for (auto& row : inner)
        for (double& u : row) u = reference::gelu(u, s_.gelu);
      const bool last = l + 1 == s_.layers;
      x = norm(sum(x, linear(inner, name + ".ff2")),
               last ? "final_norm" : "layer" + std::to_string(l + 1) + ".norm1");
    }
    return pool(x);
  }

 private:
  std::span<const float> of(const std::string& name) const {
    return view_of(layout_.find(name), std::span<const float>(parameters_));
  }
  static Matrix sum(Matrix a, const Matrix& b) {
    for (std::size_t t = 0; t < a.size(); ++t)
      for (std::size_t c = 0; c < a[t].size(); ++c) a[t][c] += b[t][c];
    return a;
  }
  Matrix linear(const Matrix& x, const std::string& name) const {
    const auto weight = of(name + ".weight"), bias = of(name + ".bias");
    Matrix y(x.size(), std::vector<double>(bias.begin(), bias.end()));
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t o = 0; o < bias.size(); ++o)
        for (std::size_t i = 0; i < x[t].size(); ++i)
          y[t][o] += weight[o * x[t].size() + i] * x[t][i];
    return y;
  }
  Matrix norm(const Matrix& x, const std::string& name) const {
    const auto g = of(name + ".gain"), b = of(name + ".bias");
    const std::vector<double> gain(g.begin(), g.end()), bias(b.begin(), b.end());
    Matrix y = x;
    double mean, rstd;
    for (std::size_t t = 0; t < x.size(); ++t)
      reference::layer_norm_row(x[t].data(), gain.data(), bias.data(), int(s_.width), y[t].data(),
                                &mean, &rstd, double(s_.norm_epsilon));
    return y;
  }
  Matrix attention(const Matrix& qkv) const {
    const std::int64_t size = s_.width / s_.heads;
    Matrix context(qkv.size(), std::vector<double>(s_.width));
    for (std::int64_t head = 0; head < s_.heads; ++head)
      for (std::size_t q = 0; q < qkv.size(); ++q) {
        double total = 0;
        for (const auto& key : qkv) {
          double score = 0;
          for (std::int64_t c = head * size; c < (head + 1) * size; ++c)
            score += qkv[q][c] * key[s_.width + c];
          const double weight = std::exp(score / std::sqrt(double(size)));
          total += weight;
          for (std::int64_t c = head * size; c < (head + 1) * size; ++c)
            context[q][c] += weight * key[2 * s_.width + c];
        }
        for (std::int64_t c = head * size; c < (head + 1) * size; ++c) context[q][c] /= total;
      }
    return context;
  }
  std::vector<double> pool(const Matrix& x) const {
    std::vector<double> e(s_.width);
    const std::size_t rows = s_.pooling == EncoderShape::Pooling::first ? 1 : x.size();
    for (std::size_t t = 0; t < rows; ++t)
      for (std::int64_t c = 0; c < s_.width; ++c) e[c] += x[t][c];
    double squares = 0;
    for (const double value : e) squares += value * value;
    for (double& value : e) value /= std::sqrt(squares);
    return e;
  }

  const EncoderShape& s_;
  const ArenaLayout& layout_;
  const std::vector<float>& parameters_;
};

TEST(BertEncoder, MatchesThePlainReference) {
  EncoderShape tanh = kBert;
  tanh.gelu = GeluForm::tanh;
  for (const EncoderShape& shape : {kBert, pooled_from_the_first(), tanh}) {
    Encoder encoder(shape, DType::f32);
    const auto parameters = lively_parameters(encoder, 3);
    encoder.load_parameters(parameters);
    const Batch batch(2, {1, 6, 20, 11});
    const auto found = embed(encoder, batch);
    for (int s = 0; s < 4; ++s) {
      const auto expected =
          PlainBert(encoder, parameters)
              .embed(std::span(batch.tokens)
                         .subspan(batch.offsets[s], batch.offsets[s + 1] - batch.offsets[s]));
      for (std::int64_t c = 0; c < shape.width; ++c)
        EXPECT_NEAR(found[s * shape.width + c], expected[c], 2e-6);
    }
  }
}

TEST(BertEncoder, GradientMatchesFiniteDifferences) {
  for (const EncoderShape& shape : {kBert, pooled_from_the_first()}) {
    Encoder encoder(shape, DType::f32);
    test::expect_gradient_matches_finite_differences(encoder, lively_parameters(encoder, 3),
                                                     Batch(2, {1, 6, 20, 11}));
  }
}

TEST(BertEncoder, WhatTakesNoPartHasNoGradientAndNoDecay) {
  Encoder encoder(kBert, DType::f32);
  const auto parameters = lively_parameters(encoder, 3);
  encoder.load_parameters(parameters);
  const Batch batch(2, {3, 9});
  const auto gradients = gradient(encoder, batch, test::random_values(4, 2 * kBert.width));
  const Parameter& types = encoder.layout().find("type.embedding");
  EXPECT_FALSE(types.decay);
  for (std::int64_t c = 0; c < kBert.width; ++c) {
    EXPECT_NE(gradients[types.offset + c], 0.0f);
    EXPECT_EQ(gradients[types.offset + kBert.width + c], 0.0f);
  }
  for (const char* name : {"pooler.weight", "pooler.bias"}) {
    const Parameter& pooler = encoder.layout().find(name);
    EXPECT_FALSE(pooler.decay);
    for (std::int64_t i = pooler.offset; i < pooler.offset + pooler.size; ++i)
      ASSERT_EQ(gradients[i], 0.0f);
  }
}

TEST(BertEncoder, ForwardGivesTheBytesOfEmbed) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    Encoder encoder(kBert, compute);
    const auto parameters = lively_parameters(encoder, 1);
    encoder.load_parameters(parameters);
    const Batch batch(1, {1, 5, 20, 17, 20, 20, 3});
    std::vector<float> kept(7 * kBert.width);
    encoder.forward(batch.view(), kept);
    EXPECT_TRUE(test::same_bytes(embed(encoder, batch), kept));
  }
}

TEST(BertEncoder, BFloat16IsCloseToF32) {
  Encoder wide(kBert, DType::f32), narrow(kBert, DType::bf16);
  const auto parameters = lively_parameters(wide, 3);
  wide.load_parameters(parameters);
  narrow.load_parameters(parameters);
  const Batch batch(2, {1, 6, 20, 11});
  test::expect_near(embed(narrow, batch), embed(wide, batch), 0.02);
  const auto d = test::random_values(4, 4 * kBert.width);
  const auto a = gradient(narrow, batch, d), b = gradient(wide, batch, d);
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  EXPECT_LT(std::sqrt(difference), 0.03 * std::sqrt(norm));
}

// Wide enough for several blocks, panels and chunks.
TEST(BertEncoder, BytesDoNotDependOnThreads) {
  EncoderShape wide = kBert;
  wide.vocabulary = 100;
  wide.width = 64;
  wide.heads = 2;
  wide.feed_forward = 768;
  wide.max_tokens = 100;
  for (const DType compute : {DType::f32, DType::bf16}) {
    Encoder encoder(wide, compute);
    std::vector<float> parameters(encoder.layout().padded_size());
    encoder.initialize(parameters, 1);
    encoder.load_parameters(parameters);
    const Batch batch(2, {100, 3, 77, 50, 100, 64, 99, 100, 100}, wide.vocabulary);
    const auto d = test::random_values(4, 9 * wide.width);
    test::expect_same_bytes_for_any_threads([&] { return embed(encoder, batch); });
    test::expect_same_bytes_for_any_threads([&] { return gradient(encoder, batch, d); });
  }
}

TEST(BertEncoder, HasTheSameBodyAndItsOwnExtras) {
  const ArenaLayout layout = encoder_layout(kBert);
  EXPECT_EQ(layout.parameters().size(), 3u + 2 * 12 + 2 + 2);
  EXPECT_EQ(layout.find("type.embedding").shape, (std::vector<std::int64_t>{2, 24}));
  EXPECT_EQ(layout.find("pooler.weight").shape, (std::vector<std::int64_t>{24, 24}));
}

}  // namespace
}  // namespace tutti
