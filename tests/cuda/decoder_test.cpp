// Whole models on the device beside the same ones on the CPU.
#include "kernels/model/decoder.h"

#include <cmath>

#include "tests/cuda/support.h"

namespace tutti {
namespace {

// Odd sizes where a GPU takes them; a vocabulary that no tile divides.
DecoderShape gpt2() { return gpt2_shape(541, 48, 2, 3, 90); }

DecoderShape llama() {
  DecoderShape shape;
  TransformerShape& b = shape.body;
  b.vocabulary = 541;
  b.width = 24;
  b.layers = 2;
  b.heads = 4;
  b.kv_heads = 2;
  b.head_size = 16;
  b.feed_forward = 40;
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

struct Batch {
  std::vector<std::int32_t> tokens, targets, offsets{0};
  explicit Batch(const std::vector<int>& lengths, std::uint64_t seed = 7) {
    for (const int length : lengths) {
      for (int i = 0; i < length; ++i) {
        targets.push_back(i % 5 == 3 ? -1 : std::int32_t(random_u64(seed, 1, tokens.size()) % 541));
        tokens.push_back(std::int32_t(random_u64(seed, 0, tokens.size()) % 541));
      }
      offsets.push_back(std::int32_t(tokens.size()));
    }
  }
  TokenBatch view() const { return {tokens, offsets}; }
};

// Larger than the initial weights, so that every part counts.
std::vector<float> lively_parameters(const Decoder& decoder) {
  std::vector<float> parameters(std::size_t(decoder.layout().padded_size()));
  decoder.initialize(parameters, 3);
  for (const Parameter& p : decoder.layout().parameters())
    for (std::int64_t i = p.offset; i < p.offset + p.size; ++i)
      parameters[std::size_t(i)] += float(0.1 * random_normal(3, 99, std::uint64_t(i)));
  return parameters;
}

Decoder device_decoder(const DecoderShape& shape, DType compute) {
  return Decoder(shape, compute, test::session().make_decoder(shape, compute));
}

// Parameters, or gradients, on the device.
class Arena {
 public:
  explicit Arena(const std::vector<float>& values)
      : array_(test::session().memory().make_array(std::ssize(values))) {
    test::session().memory().copy(values, array_->span());
    test::session().memory().synchronize();
  }
  std::span<float> span() { return array_->span(); }
  std::vector<float> values() {
    std::vector<float> all(array_->span().size());
    test::session().memory().copy(array_->span(), all);
    test::session().memory().synchronize();
    return all;
  }

 private:
  std::unique_ptr<DeviceArray> array_;
};

struct Outcome {
  double loss = 0;
  std::vector<float> gradients, logits;
};

Outcome on_cpu(const DecoderShape& shape, const Batch& batch, const CrossEntropyOptions& options) {
  Decoder decoder(shape, DType::f32);
  const auto parameters = lively_parameters(decoder);
  decoder.load_parameters(parameters);
  Outcome outcome;
  outcome.gradients.assign(parameters.size(), 0.25f);
  decoder.forward(batch.view());
  outcome.loss = decoder.backward(batch.view(), batch.targets, outcome.gradients, options);
  outcome.logits.resize(batch.tokens.size() * 541);
  decoder.logits(batch.view(), outcome.logits);
  return outcome;
}

Outcome on_device(const DecoderShape& shape, DType compute, const Batch& batch,
                  const CrossEntropyOptions& options, bool recompute = false) {
  Decoder decoder = device_decoder(shape, compute);
  decoder.recompute_activations(recompute);
  const auto parameters = lively_parameters(decoder);
  Arena on_gpu(parameters), gradients(std::vector<float>(parameters.size(), 0.25f));
  decoder.load_parameters(on_gpu.span());
  Outcome outcome;
  // What a smaller batch left behind must not show.
  decoder.forward(Batch({3}).view());
  decoder.forward(batch.view());
  outcome.loss = decoder.backward(batch.view(), batch.targets, gradients.span(), options);
  outcome.gradients = gradients.values();
  outcome.logits.resize(batch.tokens.size() * 541);
  decoder.logits(batch.view(), outcome.logits);
  EXPECT_NEAR(decoder.loss(batch.view(), batch.targets, options), outcome.loss,
              1e-4 * std::abs(outcome.loss));
  return outcome;
}

TEST(DecoderCuda, IsTheCpusInFloat) {
  const Batch batch({5, 70, 1});
  for (const DecoderShape& shape : {gpt2(), llama(), mixed()}) {
    const CrossEntropyOptions options{0.1f, 1e-3f};
    const Outcome cpu = on_cpu(shape, batch, options),
                  gpu = on_device(shape, DType::f32, batch, options);
    EXPECT_NEAR(gpu.loss, cpu.loss, 1e-5 * std::abs(cpu.loss));
    test::expect_near(gpu.logits, cpu.logits, 1e-4, 1e-4);
    test::expect_near(gpu.gradients, cpu.gradients, 2e-4, 1e-3);
  }
}

// The distance of two vectors, beside the second's length.
double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0, length = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double(actual[i]) - double(expected[i]), 2);
    length += std::pow(double(expected[i]), 2);
  }
  return std::sqrt(difference / length);
}

TEST(DecoderCuda, IsNearInBf16) {
  const Batch batch({5, 70, 1});
  for (const DecoderShape& shape : {gpt2(), llama(), mixed()}) {
    const Outcome cpu = on_cpu(shape, batch, {}), gpu = on_device(shape, DType::bf16, batch, {});
    EXPECT_NEAR(gpu.loss, cpu.loss, 5e-3 * std::abs(cpu.loss));
    EXPECT_LT(relative_error(gpu.logits, cpu.logits), 2e-2);
    std::vector<float> actual = gpu.gradients, expected = cpu.gradients;
    for (float& g : actual) g -= 0.25f;
    for (float& g : expected) g -= 0.25f;
    EXPECT_LT(relative_error(actual, expected), 3e-2);
  }
}

TEST(DecoderCuda, RecomputationAndRepetitionGiveTheSameBytes) {
  const Batch batch({33, 12});
  for (const DecoderShape& shape : {gpt2(), llama()})
    for (const DType compute : {DType::f32, DType::bf16}) {
      const Outcome once = on_device(shape, compute, batch, {}),
                    again = on_device(shape, compute, batch, {}),
                    recomputed = on_device(shape, compute, batch, {}, true);
      EXPECT_TRUE(test::same_bytes(again.gradients, once.gradients));
      EXPECT_TRUE(test::same_bytes(recomputed.gradients, once.gradients));
      EXPECT_EQ(recomputed.loss, once.loss);
    }
}

// Ten steps of AdamW on both: the same losses.
TEST(DecoderCuda, LearnsAsTheCpuDoes) {
  const DecoderShape shape = gpt2();
  Decoder cpu(shape, DType::f32), gpu = device_decoder(shape, DType::f32);
  const ArenaLayout& layout = cpu.layout();
  std::vector<float> parameters(std::size_t(layout.padded_size())), zeros(parameters.size()),
      first(zeros), second(zeros);
  cpu.initialize(parameters, 1);
  Arena d_parameters(parameters), d_first(zeros), d_second(zeros);
  const AdamWOptions options{.learning_rate = 3e-3f};
  for (int step = 1; step <= 10; ++step) {
    const Batch batch({40, 20}, std::uint64_t(step % 3));
    std::vector<float> gradients(zeros);
    Arena d_gradients(zeros);
    cpu.load_parameters(parameters);
    gpu.load_parameters(d_parameters.span());
    cpu.forward(batch.view());
    gpu.forward(batch.view());
    const double loss = cpu.backward(batch.view(), batch.targets, gradients);
    EXPECT_NEAR(gpu.backward(batch.view(), batch.targets, d_gradients.span()), loss, 1e-4 * loss)
        << "step " << step;
    adamw_update(layout, options, step, 1.0f / 60, {0, parameters, gradients, first, second});
    test::session().optimizer().adamw_update(
        layout, options, step, 1.0f / 60,
        {0, d_parameters.span(), d_gradients.span(), d_first.span(), d_second.span()}, {});
  }
}

TEST(DecoderCuda, RefusesShapesThatAGpuDoesNotTake) {
  DecoderShape odd = llama();
  odd.body.feed_forward = 36;
  EXPECT_THROW((void)test::session().make_decoder(odd, DType::bf16), std::invalid_argument);
  DecoderShape exact = gpt2();
  exact.body.gelu = GeluForm::exact;
  EXPECT_THROW((void)test::session().make_decoder(exact, DType::bf16), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
