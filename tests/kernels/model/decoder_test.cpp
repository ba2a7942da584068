#include "kernels/model/decoder.h"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/ops/causal_attention.h"
#include "kernels/ops/gelu.h"
#include "kernels/ops/swiglu.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

using Vector = std::vector<double>;

// Odd sizes everywhere; a vocabulary of more than one block of logits.
DecoderShape gpt2() { return gpt2_shape(541, 24, 2, 3, 90); }

DecoderShape llama() {
  DecoderShape shape;
  TransformerShape& b = shape.body;
  b.vocabulary = 541;
  b.width = 24;
  b.layers = 2;
  b.heads = 4;
  b.kv_heads = 2;
  b.head_size = 10;
  b.feed_forward = 36;
  b.max_tokens = 90;
  b.feed_forward_kind = TransformerShape::FeedForward::swiglu;
  b.norm = NormKind::root_mean_square;
  b.norm_epsilon = 1e-6f;
  b.learned_positions = b.qkv_bias = b.linear_bias = false;
  shape.tied_head = false;
  return shape;
}

// Biases on the attention's products, a window, a tied head: Qwen2 and Mistral in one.
DecoderShape mixed() {
  DecoderShape shape = llama();
  shape.body.qkv_bias = shape.body.linear_bias = true;
  shape.body.window = 7;
  shape.tied_head = true;
  return shape;
}

std::vector<DecoderShape> families() { return {gpt2(), llama(), mixed()}; }

// Larger than the initial weights, so that every part counts.
std::vector<float> lively_parameters(const Decoder& decoder, std::uint64_t seed) {
  std::vector<float> parameters(decoder.layout().padded_size());
  decoder.initialize(parameters, seed);
  for (const Parameter& p : decoder.layout().parameters())
    for (float& value : view_of(p, std::span<float>(parameters)))
      value += static_cast<float>(
          0.2 * random_normal(seed, 99, static_cast<std::uint64_t>(&value - parameters.data())));
  return parameters;
}

struct Batch {
  std::vector<std::int32_t> tokens, targets, offsets{0};

  explicit Batch(const std::vector<int>& lengths) {
    const auto drawn = [&](std::uint64_t stream) {
      return static_cast<std::int32_t>(random_u64(7, stream, tokens.size()) % 541);
    };
    for (const int length : lengths) {
      for (int i = 0; i < length; ++i) {
        targets.push_back(i % 5 == 3 ? -1 : drawn(1));
        tokens.push_back(drawn(0));
      }
      offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    }
  }
  TokenBatch view() const { return {tokens, offsets}; }
};

double loss_and_gradient(Decoder& decoder, const Batch& batch, std::span<float> gradients,
                         const CrossEntropyOptions& options = {}) {
  decoder.forward(batch.view());
  return decoder.backward(batch.view(), batch.targets, gradients, options);
}

// The model's definition in plain loops, in double, one sequence at a time.
class Reference {
 public:
  Reference(const DecoderShape& shape, const ArenaLayout& layout, const Vector& arena)
      : shape_(shape), b_(shape.body), layout_(layout), arena_(arena) {}

  // Logits [length, vocabulary].
  Vector logits(const std::int32_t* tokens, int length) const {
    Vector x(length * b_.width);
    for (int t = 0; t < length; ++t)
      for (int c = 0; c < b_.width; ++c) {
        x[t * b_.width + c] = at("token.embedding")[tokens[t] * b_.width + c];
        if (b_.learned_positions) x[t * b_.width + c] += at("position.embedding")[t * b_.width + c];
      }
    for (int l = 0; l < b_.layers; ++l) {
      const std::string name = "layer" + std::to_string(l);
      add(x,
          linear(attend(linear(norm(x, name + ".norm1"), name + ".qkv"), length), name + ".out"));
      add(x, feed_forward(norm(x, name + ".norm2"), name));
    }
    return product(norm(x, "final_norm"), at(shape_.tied_head ? "token.embedding" : "head.weight"),
                   b_.vocabulary, b_.width);
  }

  double loss(const Batch& batch, const CrossEntropyOptions& options) const {
    double sum = 0;
    for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
      const int first = batch.offsets[s], length = batch.offsets[s + 1] - first;
      const Vector all = logits(&batch.tokens[first], length);
      for (int t = 0; t < length; ++t)
        if (batch.targets[first + t] >= 0)
          sum += reference::cross_entropy_row(&all[t * b_.vocabulary], int(b_.vocabulary),
                                              batch.targets[first + t], options, nullptr);
    }
    return sum;
  }

 private:
  const double* at(const std::string& name) const { return &arena_[layout_.find(name).offset]; }
  bool has(const std::string& name) const {
    for (const Parameter& p : layout_.parameters())
      if (p.name == name) return true;
    return false;
  }
  static void add(Vector& x, const Vector& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  // x W^T, W being [outputs, inputs].
  static Vector product(const Vector& x, const double* weights, std::int64_t outputs,
                        std::int64_t inputs) {
    const std::int64_t rows = std::ssize(x) / inputs;
    Vector y(rows * outputs);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t o = 0; o < outputs; ++o)
        for (std::int64_t i = 0; i < inputs; ++i)
          y[r * outputs + o] += x[r * inputs + i] * weights[o * inputs + i];
    return y;
  }

  Vector linear(const Vector& x, const std::string& name) const {
    const Parameter& weight = layout_.find(name + ".weight");
    Vector y = product(x, &arena_[weight.offset], weight.shape[0], weight.shape[1]);
    if (has(name + ".bias"))
      for (std::size_t i = 0; i < y.size(); ++i)
        y[i] += at(name + ".bias")[i % std::size_t(weight.shape[0])];
    return y;
  }

  Vector norm(const Vector& x, const std::string& name) const {
    Vector y(x.size());
    const double epsilon = double(b_.norm_epsilon);
    for (std::size_t r = 0; r < x.size(); r += std::size_t(b_.width)) {
      double mean, rstd;
      if (b_.norm == NormKind::layer)
        reference::layer_norm_row(&x[r], at(name + ".gain"), at(name + ".bias"), int(b_.width),
                                  &y[r], &mean, &rstd, epsilon);
      else
        reference::rms_norm_row(&x[r], at(name + ".gain"), int(b_.width), &y[r], &rstd, epsilon);
    }
    return y;
  }

  // Head `column` of each row of qkv, turned by its position where it is a query or a key.
  Vector head(const Vector& qkv, std::int64_t column, int length) const {
    const std::int64_t size = b_.head_size, half = size / 2;
    Vector rows;
    for (int t = 0; t < length; ++t) {
      const double* from = &qkv[t * b_.qkv_width() + column * size];
      rows.insert(rows.end(), from, from + size);
      if (b_.learned_positions || column >= b_.heads + b_.kv_heads) continue;
      double* to = &rows[t * size];
      const Vector frequencies = rope_frequencies(b_.rope, size);
      for (std::int64_t i = 0; i < half; ++i) {
        const double cos = std::cos(t * frequencies[i]), sin = std::sin(t * frequencies[i]);
        to[i] = from[i] * cos - from[i + half] * sin;
        to[i + half] = from[i + half] * cos + from[i] * sin;
      }
    }
    return rows;
  }

  Vector attend(const Vector& qkv, int length) const {
    const std::int64_t size = b_.head_size;
    Vector context(length * b_.context_width());
    for (std::int64_t h = 0; h < b_.heads; ++h) {
      const std::int64_t kv = h / (b_.heads / b_.kv_heads);
      Vector out(length * size);
      reference::causal_attention(head(qkv, h, length).data(),
                                  head(qkv, b_.heads + kv, length).data(),
                                  head(qkv, b_.heads + b_.kv_heads + kv, length).data(), length,
                                  int(size), int(b_.window), out.data());
      for (int t = 0; t < length; ++t)
        std::copy_n(&out[t * size], size, &context[t * b_.context_width() + h * size]);
    }
    return context;
  }

  Vector feed_forward(const Vector& h, const std::string& name) const {
    if (b_.feed_forward_kind == TransformerShape::FeedForward::gelu) {
      Vector u = linear(h, name + ".ff1");
      for (double& value : u) value = reference::gelu(value);
      return linear(u, name + ".ff2");
    }
    Vector gate = linear(h, name + ".gate");
    const Vector up = linear(h, name + ".up");
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = reference::silu(gate[i]) * up[i];
    return linear(gate, name + ".ff2");
  }

  const DecoderShape& shape_;
  const TransformerShape& b_;
  const ArenaLayout& layout_;
  const Vector& arena_;
};

TEST(Decoder, LogitsMatchTheReference) {
  const Batch batch({5, 70, 1});
  for (const DecoderShape& shape : families()) {
    Decoder decoder(shape, DType::f32);
    const auto parameters = lively_parameters(decoder, 3);
    decoder.load_parameters(parameters);
    std::vector<float> logits(batch.tokens.size() * 541);
    decoder.logits(batch.view(), logits);
    const Vector wide = test::to_doubles(parameters);
    const Reference reference(shape, decoder.layout(), wide);
    Vector expected;
    for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
      const int first = batch.offsets[s];
      const Vector part = reference.logits(&batch.tokens[first], batch.offsets[s + 1] - first);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    test::expect_near(logits, expected, 1e-4, 1e-4);
  }
}

TEST(Decoder, GradientMatchesFiniteDifferences) {
  const Batch batch({9, 3});
  const CrossEntropyOptions options{0.1f, 0.001f};
  for (const DecoderShape& shape : families()) {
    Decoder decoder(shape, DType::f32);
    const auto parameters = lively_parameters(decoder, 3);
    decoder.load_parameters(parameters);
    std::vector<float> gradients(parameters.size());
    const double loss = loss_and_gradient(decoder, batch, gradients, options);
    Vector wide = test::to_doubles(parameters);
    const Reference reference(shape, decoder.layout(), wide);
    EXPECT_NEAR(loss, reference.loss(batch, options), 1e-4 * loss);
    for (const Parameter& p : decoder.layout().parameters())
      for (std::uint64_t i = 0; i < 4; ++i) {
        std::int64_t element = p.offset + std::int64_t(random_u64(1, 5, i) % std::uint64_t(p.size));
        if (p.name == "token.embedding") element = p.offset + batch.tokens[i] * 24 + 2;
        const double kept = wide[element], h = 1e-4;
        wide[element] = kept + h;
        const double above = reference.loss(batch, options);
        wide[element] = kept - h;
        const double below = reference.loss(batch, options);
        wide[element] = kept;
        const double slope = (above - below) / (2 * h);
        EXPECT_NEAR(double(gradients[element]), slope, 2e-3 * (1 + std::abs(slope)))
            << p.name << " " << element - p.offset;
      }
  }
}

TEST(Decoder, LossIsThatOfTheGradientAndOfEachToken) {
  const Batch batch({70, 20});
  Decoder decoder(llama(), DType::f32);
  const auto parameters = lively_parameters(decoder, 3);
  decoder.load_parameters(parameters);
  std::vector<float> gradients(parameters.size()), losses(batch.tokens.size());
  const double loss = decoder.loss(batch.view(), batch.targets, {}, losses);
  EXPECT_EQ(loss_and_gradient(decoder, batch, gradients), loss);
  EXPECT_EQ(losses[3], 0.0f);  // nothing is asked there
  EXPECT_GT(losses[4], 0.0f);
}

TEST(Decoder, ReadsNothingInUnreadPlaces) {
  const Batch batch({9, 3});
  for (const DecoderShape& shape : families())
    for (const DType compute : {DType::f32, DType::bf16}) {
      Decoder decoder(shape, compute);
      auto parameters = lively_parameters(decoder, 3);
      decoder.load_parameters(parameters);
      std::vector<float> before(parameters.size()), after(parameters.size());
      const double loss = loss_and_gradient(decoder, batch, before);
      std::int64_t unread = 0;
      for (const ParameterPlace& place : decoder.unread_places(batch.tokens)) {
        std::fill_n(parameters.begin() + place.offset, place.size, NAN);
        unread += place.size;
      }
      EXPECT_GT(2 * unread, decoder.layout().used_size());
      EXPECT_EQ(loss_and_gradient(decoder, batch, after), loss);
      EXPECT_EQ(after, before);
      EXPECT_EQ(decoder.loss(batch.view(), batch.targets), loss);
    }
}

TEST(Decoder, GradientAccumulatesAndLeavesGapsAlone) {
  const Batch batch({30});
  for (const DecoderShape& shape : families()) {
    Decoder decoder(shape, DType::f32);
    const auto parameters = lively_parameters(decoder, 3);
    decoder.load_parameters(parameters);
    std::vector<float> once(parameters.size()), twice(parameters.size());
    loss_and_gradient(decoder, batch, once);
    for (int i = 0; i < 2; ++i) loss_and_gradient(decoder, batch, twice);
    std::vector<bool> gap(once.size(), true);
    for (const Parameter& p : decoder.layout().parameters())
      std::fill_n(gap.begin() + p.offset, p.size, false);
    for (std::size_t i = 0; i < once.size(); ++i) {
      EXPECT_NEAR(twice[i], 2 * once[i], 1e-4f * (1 + std::abs(once[i])));
      if (gap[i]) {
        EXPECT_EQ(once[i], 0.0f);
      }
    }
  }
}

TEST(Decoder, SequencesDoNotSeeEachOtherNorWhatComesAfter) {
  for (const DecoderShape& shape : families()) {
    Decoder decoder(shape, DType::f32);
    const auto parameters = lively_parameters(decoder, 3);
    decoder.load_parameters(parameters);
    Batch batch({6, 8});
    std::vector<float> before(batch.tokens.size() * 541), after(before.size());
    decoder.logits(batch.view(), before);
    batch.tokens[10] = (batch.tokens[10] + 1) % 541;
    decoder.logits(batch.view(), after);
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + 10 * 541, after.begin()));
    EXPECT_FALSE(std::equal(before.begin() + 10 * 541, before.end(), after.begin() + 10 * 541));
  }
}

TEST(Decoder, BFloat16IsCloseToF32) {
  const Batch batch({40, 70});
  for (const DecoderShape& shape : families()) {
    Decoder wide(shape, DType::f32), narrow(shape, DType::bf16);
    const auto parameters = lively_parameters(wide, 3);
    wide.load_parameters(parameters);
    narrow.load_parameters(parameters);
    std::vector<float> a(parameters.size()), b(parameters.size());
    const double loss = loss_and_gradient(wide, batch, a);
    EXPECT_NEAR(loss_and_gradient(narrow, batch, b), loss, 0.02 * loss);
    double difference = 0, square = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference += double(a[i] - b[i]) * double(a[i] - b[i]);
      square += double(a[i]) * double(a[i]);
    }
    EXPECT_LT(std::sqrt(difference / square), 0.08);
  }
}

// What generation gives, token by token, is what one pass over the whole text gives.
void expect_generation_like_one_pass(const DecoderShape& shape, DType type, double tolerance) {
  Decoder decoder(shape, type);
  const auto parameters = lively_parameters(decoder, 3);
  decoder.load_parameters(parameters);
  const Batch batch({30, 12, 21});
  std::vector<float> whole(batch.tokens.size() * 541);
  decoder.logits(batch.view(), whole);
  const auto expect_row = [&](const float* logits, std::size_t sequence, std::int64_t position) {
    const float* expected = &whole[(batch.offsets[sequence] + position) * 541];
    test::expect_near(std::vector<float>(logits, logits + 541),
                      std::vector<float>(expected, expected + 541), tolerance);
  };

  decoder.start_generation(std::vector<std::int64_t>{30, 12, 21});
  const std::vector<std::int64_t> prompts{5, 1, 20};
  std::vector<std::int32_t> tokens, offsets{0};
  for (std::size_t s = 0; s < 3; ++s) {
    const auto begin = batch.tokens.begin() + batch.offsets[s];
    tokens.insert(tokens.end(), begin, begin + prompts[s]);
    offsets.push_back(static_cast<std::int32_t>(tokens.size()));
  }
  std::vector<float> logits(3 * 541);
  decoder.prefill({tokens, offsets}, 0, logits);
  for (std::size_t s = 0; s < 3; ++s) expect_row(&logits[s * 541], s, prompts[s] - 1);
  for (std::int64_t step = 0; step < 25; ++step) {
    std::vector<std::int32_t> next;
    std::vector<std::int64_t> open;
    for (std::size_t s = 0; s < 3; ++s) {
      const std::int64_t position = prompts[s] + step;
      if (batch.offsets[s] + position >= batch.offsets[s + 1]) continue;
      next.push_back(batch.tokens[batch.offsets[s] + position]);
      open.push_back(static_cast<std::int64_t>(s));
    }
    logits.resize(open.size() * 541);
    decoder.append(next, open, logits);
    for (std::size_t i = 0; i < open.size(); ++i)
      expect_row(&logits[i * 541], static_cast<std::size_t>(open[i]), prompts[open[i]] + step);
  }
  EXPECT_THROW(decoder.append(std::vector<std::int32_t>{1}, std::vector<std::int64_t>{1},
                              std::span(logits).first(541)),
               std::invalid_argument);
}

TEST(Decoder, GenerationGivesWhatOnePassGives) {
  for (const DecoderShape& shape : families()) {
    expect_generation_like_one_pass(shape, DType::f32, 1e-4);
    expect_generation_like_one_pass(shape, DType::bf16, 0.5);
  }
}

TEST(Decoder, BytesDoNotDependOnThreads) {
  const Batch batch({40, 70, 1, 33});
  for (const DType type : {DType::f32, DType::bf16})
    for (const DecoderShape& shape : families())
      test::expect_same_bytes_for_any_threads([&] {
        Decoder decoder(shape, type);
        const auto parameters = lively_parameters(decoder, 3);
        decoder.load_parameters(parameters);
        std::vector<float> gradients(parameters.size());
        loss_and_gradient(decoder, batch, gradients);
        return gradients;
      });
}

TEST(Decoder, CountsItsProducts) {
  const Decoder decoder(gpt2_shape(50257, 768, 12, 12, 1024), DType::f32);
  // Two operations a weight forward and four backward: 124M parameters less the positions,
  // with the embedding as the head.
  const std::int64_t matrices = 12 * 12 * 768 * 768 + 50257 * 768;
  EXPECT_EQ(decoder.product_flops(10), 60 * matrices);
  EXPECT_EQ(decoder.layout().find("layer11.ff1.weight").size, 4 * 768 * 768);
}

TEST(Decoder, RejectsMisuse) {
  DecoderShape shape = llama();
  shape.body.heads = 3;
  EXPECT_THROW(Decoder(shape, DType::f32), std::invalid_argument);
  shape = llama();
  shape.body.head_size = 9;
  EXPECT_THROW(Decoder(shape, DType::f32), std::invalid_argument);
  EXPECT_THROW(Decoder(llama(), DType::u8), std::invalid_argument);

  Batch batch({4});
  Decoder decoder(llama(), DType::f32);
  EXPECT_THROW(decoder.loss(batch.view(), batch.targets), std::invalid_argument);
  const auto parameters = lively_parameters(decoder, 3);
  decoder.load_parameters(parameters);
  EXPECT_NO_THROW(decoder.loss(batch.view(), batch.targets));
  std::vector<float> gradients(parameters.size());
  EXPECT_THROW(decoder.backward(batch.view(), batch.targets, gradients), std::invalid_argument);
  batch.targets[1] = 541;
  EXPECT_THROW(decoder.loss(batch.view(), batch.targets), std::invalid_argument);
  batch.targets.pop_back();
  EXPECT_THROW(decoder.loss(batch.view(), batch.targets), std::invalid_argument);
  const Batch long_one({91});
  EXPECT_THROW(decoder.loss(long_one.view(), long_one.targets), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
