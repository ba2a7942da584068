#include "kernels/model/adapters.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/model/decoder.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kVocabulary = 541;

DecoderShape gpt2() { return gpt2_shape(kVocabulary, 24, 2, 3, 90); }

// Feed-forward parts of several blocks, and groups of heads.
DecoderShape llama() {
  DecoderShape shape = gpt2_shape(kVocabulary, 24, 2, 4, 90);
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

struct Case {
  DecoderShape shape;
  AdapterShape adapters;
};

std::vector<Case> cases() {
  return {{gpt2(), {5, 10, {"qkv", "out", "ff1", "ff2"}}},
          {llama(), {4, 8, {"query", "key", "value", "out", "gate", "up", "ff2"}}},
          {llama(), {1, 3, {"query", "value"}}}};
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

// The frozen parameters: matrices of bf16 values, so that nothing is lost where they are kept.
std::vector<float> base_parameters(const DecoderShape& shape) {
  Decoder decoder(shape, DType::f32);
  std::vector<float> parameters(decoder.layout().padded_size());
  decoder.initialize(parameters, 3);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    parameters[i] = float(bf16(parameters[i] + float(0.1 * random_normal(3, 99, i))));
  return parameters;
}

void load_base(Decoder& decoder, const DecoderShape& shape, std::span<const float> base) {
  const ArenaLayout layout = decoder_layout(shape);
  for (const Parameter& parameter : layout.parameters())
    decoder.load_frozen(parameter.name, view_of(parameter, base));
}

std::vector<float> lively_adapters(const Decoder& decoder) {
  std::vector<float> adapters(decoder.layout().padded_size());
  for (const Parameter& p : decoder.layout().parameters())
    for (float& value : view_of(p, std::span<float>(adapters)))
      value = float(0.1 * random_normal(5, 1, std::uint64_t(&value - adapters.data())));
  return adapters;
}

// The matrix, within a full arena, to which the adapters of this name add.
std::span<float> adapted_rows(const DecoderShape& shape, std::span<float> arena,
                              const std::string& layer, const AdapterPlaces& adapter) {
  const bool in_qkv = adapter.part == AdapterPlaces::Part::qkv;
  const ArenaLayout layout = decoder_layout(shape);
  return view_of(layout.find(layer + (in_qkv ? "qkv" : adapter.name) + ".weight"), arena)
      .subspan(std::size_t(adapter.first_output * adapter.inputs),
               std::size_t(adapter.outputs * adapter.inputs));
}

// W + scale B A.
std::vector<float> merged(const Case& c, std::span<const float> base,
                          std::span<const float> adapters) {
  std::vector<float> all(base.begin(), base.end());
  ArenaLayout layout;
  const Adapters places = add_adapters(layout, c.shape.body, c.adapters);
  for (std::size_t l = 0; l < places.layers.size(); ++l)
    for (const AdapterPlaces& p : places.layers[l]) {
      const auto rows = adapted_rows(c.shape, all, "layer" + std::to_string(l) + ".", p);
      for (std::int64_t o = 0; o < p.outputs; ++o)
        for (std::int64_t i = 0; i < p.inputs; ++i) {
          double sum = 0;
          for (std::int64_t r = 0; r < c.adapters.rank; ++r)
            sum += double(adapters[p.b.offset + o * c.adapters.rank + r]) *
                   double(adapters[p.a.offset + r * p.inputs + i]);
          rows[o * p.inputs + i] += float(double(c.adapters.scale()) * sum);
        }
    }
  return all;
}

// By the chain rule through W + scale B A, from the gradient of the merged matrices.
std::vector<float> projected(const Case& c, std::span<float> gradients,
                             std::span<const float> adapters) {
  ArenaLayout layout;
  const Adapters places = add_adapters(layout, c.shape.body, c.adapters);
  std::vector<float> all(layout.padded_size());
  const std::int64_t rank = c.adapters.rank;
  for (std::size_t l = 0; l < places.layers.size(); ++l)
    for (const AdapterPlaces& p : places.layers[l]) {
      const auto rows = adapted_rows(c.shape, gradients, "layer" + std::to_string(l) + ".", p);
      for (std::int64_t o = 0; o < p.outputs; ++o)
        for (std::int64_t i = 0; i < p.inputs; ++i)
          for (std::int64_t r = 0; r < rank; ++r) {
            const float d = c.adapters.scale() * rows[o * p.inputs + i];
            all[p.b.offset + o * rank + r] += d * adapters[p.a.offset + r * p.inputs + i];
            all[p.a.offset + r * p.inputs + i] += d * adapters[p.b.offset + o * rank + r];
          }
    }
  return all;
}

TEST(Adapters, AtFirstNothingIsAdded) {
  for (const Case& c : cases()) {
    const std::vector<float> base = base_parameters(c.shape);
    Decoder plain(c.shape, DType::f32), adapted(c.shape, c.adapters, DType::f32);
    plain.load_parameters(base);
    load_base(adapted, c.shape, base);
    std::vector<float> adapters(adapted.layout().padded_size());
    adapted.initialize(adapters, 1);
    adapted.load_parameters(adapters);
    const Batch batch({9, 70, 1});
    EXPECT_EQ(adapted.loss(batch.view(), batch.targets), plain.loss(batch.view(), batch.targets));
  }
}

TEST(Adapters, AddTheirProductToTheMatricesAndLearnByTheChainRule) {
  for (const Case& c : cases()) {
    const std::vector<float> base = base_parameters(c.shape);
    Decoder plain(c.shape, DType::f32), adapted(c.shape, c.adapters, DType::f32);
    load_base(adapted, c.shape, base);
    const std::vector<float> adapters = lively_adapters(adapted);
    adapted.load_parameters(adapters);
    const std::vector<float> sum = merged(c, base, adapters);
    std::vector<float> merged_here = base;
    ArenaLayout layout;
    const Adapters places = add_adapters(layout, c.shape.body, c.adapters);
    merge_adapters(places, adapters, plain.layout(), merged_here);
    test::expect_near(merged_here, sum, 1e-6);
    plain.load_parameters(sum);
    const Batch batch({9, 70, 1, 64});
    EXPECT_NEAR(adapted.loss(batch.view(), batch.targets) / plain.loss(batch.view(), batch.targets),
                1, 1e-5);

    std::vector<float> whole(plain.layout().padded_size()), low(adapted.layout().padded_size());
    plain.forward(batch.view());
    plain.backward(batch.view(), batch.targets, whole);
    adapted.forward(batch.view());
    std::vector<std::int64_t> final_from;
    adapted.backward(batch.view(), batch.targets, low, {},
                     [&](std::int64_t begin) { final_from.push_back(begin); });
    test::expect_near(low, projected(c, whole, adapters), 1e-3);
    EXPECT_TRUE(std::is_sorted(final_from.rbegin(), final_from.rend()));
    EXPECT_EQ(final_from.back(), 0);
  }
}

TEST(Adapters, SameBytesForAnyNumberOfThreadsInBothTypes) {
  for (const Case& c : cases())
    for (const DType type : {DType::f32, DType::bf16})
      test::expect_same_bytes_for_any_threads([&] {
        Decoder decoder(c.shape, c.adapters, type);
        load_base(decoder, c.shape, base_parameters(c.shape));
        decoder.load_parameters(lively_adapters(decoder));
        const Batch batch({80, 33, 64, 90});
        std::vector<float> gradients(decoder.layout().padded_size());
        decoder.forward(batch.view());
        const double loss = decoder.backward(batch.view(), batch.targets, gradients);
        gradients.push_back(float(loss));
        for (const float value : gradients) EXPECT_TRUE(std::isfinite(value));
        return gradients;
      });
}

TEST(Adapters, WhatCannotBeIsRefused) {
  const auto refuses = [](const DecoderShape& shape, const AdapterShape& adapters) {
    EXPECT_THROW(Decoder(shape, adapters), std::invalid_argument);
  };
  refuses(gpt2(), {0, 1, {"qkv"}});
  refuses(gpt2(), {4, 1, {}});
  refuses(gpt2(), {4, 1, {"gate"}});
  refuses(llama(), {4, 1, {"ff1"}});
  refuses(llama(), {4, 1, {"query", "query"}});
  refuses(llama(), {4, 1, {"qkv", "value"}});

  Decoder decoder(gpt2(), AdapterShape{4, 1, {"qkv"}}, DType::f32);
  std::vector<float> adapters(decoder.layout().padded_size());
  decoder.load_parameters(adapters);
  const Batch batch({3});
  EXPECT_THROW(decoder.loss(batch.view(), batch.targets), std::invalid_argument);
  EXPECT_THROW(decoder.load_frozen("nothing", adapters), std::invalid_argument);
  // As many parameters as there are, but one of them again and again.
  const std::vector<float> gain(24);
  const std::size_t count = decoder_layout(gpt2()).parameters().size();
  for (std::size_t i = 0; i < count; ++i) decoder.load_frozen("final_norm.gain", gain);
  EXPECT_THROW(decoder.loss(batch.view(), batch.targets), std::invalid_argument);
  EXPECT_THROW(decoder.load_frozen("final_norm.gain", adapters), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
