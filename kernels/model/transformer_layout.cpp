#include "kernels/model/transformer_layout.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/core/parallel.h"
#include "kernels/core/random.h"

namespace tutti {
namespace {

constexpr double kDeviation = 0.02;

NormPlaces add_norm(ArenaLayout& layout, const std::string& name, const TransformerShape& s) {
  NormPlaces norm;
  norm.gain = add_parameter(layout, name + ".gain", {s.width}, false);
  if (s.norm == NormKind::layer)
    norm.bias = add_parameter(layout, name + ".bias", {s.width}, false);
  return norm;
}

// Where the body's parameters go.
struct Layouts {
  ArenaLayout &matrices, &vectors;
};

LinearPlaces add_linear(Layouts layouts, const std::string& name, std::int64_t outputs,
                        std::int64_t inputs, bool bias) {
  LinearPlaces linear;
  linear.weight = add_parameter(layouts.matrices, name + ".weight", {outputs, inputs}, true);
  if (bias) linear.bias = add_parameter(layouts.vectors, name + ".bias", {outputs}, false);
  linear.outputs = outputs;
  linear.inputs = inputs;
  return linear;
}

LayerPlaces add_layer(Layouts layouts, const std::string& name, const TransformerShape& s) {
  LayerPlaces layer;
  layer.norm1 = add_norm(layouts.vectors, name + ".norm1", s);
  layer.qkv = add_linear(layouts, name + ".qkv", s.qkv_width(), s.width, s.qkv_bias);
  layer.out = add_linear(layouts, name + ".out", s.width, s.context_width(), s.linear_bias);
  layer.norm2 = add_norm(layouts.vectors, name + ".norm2", s);
  const bool gelu = s.feed_forward_kind == TransformerShape::FeedForward::gelu;
  if (gelu) {
    layer.ff1 = add_linear(layouts, name + ".ff1", s.feed_forward, s.width, true);
  } else {
    layer.ff1 = add_linear(layouts, name + ".gate", s.feed_forward, s.width, false);
    layer.up = add_linear(layouts, name + ".up", s.feed_forward, s.width, false);
  }
  layer.ff2 = add_linear(layouts, name + ".ff2", s.width, s.feed_forward, gelu);
  return layer;
}

void check(const TransformerShape& s) {
  const auto require = [](bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
  };
  require(s.vocabulary >= 1 && s.width >= 1 && s.layers >= 1 && s.heads >= 1 && s.kv_heads >= 1 &&
              s.head_size >= 1 && s.feed_forward >= 1 && s.max_tokens >= 1 && s.window >= 0 &&
              s.token_types >= 0,
          "transformer: every extent of the shape must be at least one");
  require(s.heads % s.kv_heads == 0, "transformer: the heads must be a multiple of kv_heads");
  require(s.learned_positions || s.head_size % 2 == 0,
          "transformer: rotary positions need an even head size");
  require(s.attention == TransformerShape::Attention::causal ||
              (s.kv_heads == s.heads && s.window == 0 && s.context_width() == s.width),
          "transformer: bidirectional attention has neither groups nor a window");
  require(s.feed_forward_kind == TransformerShape::FeedForward::gelu ? s.linear_bias : true,
          "transformer: a feed-forward part with GELU has biases");
}

// How the values of one parameter start: normal with this deviation, or a constant.
struct Start {
  double deviation = 0;
  float constant = 0;
};

Start start_of(const std::string& name, std::int64_t layers, double token_deviation) {
  const double into_residual = kDeviation / std::sqrt(2.0 * static_cast<double>(layers));
  if (name == "token.embedding") return {token_deviation, 0};
  if (name == "position.embedding" || name == "type.embedding") return {kDeviation, 0};
  if (name.ends_with(".out.weight") || name.ends_with(".ff2.weight")) return {into_residual, 0};
  if (name.ends_with(".weight")) return {kDeviation, 0};
  return {0, name.ends_with(".gain") ? 1.0f : 0.0f};
}

void fill(std::span<float> values, const Start& start, std::uint64_t seed, std::uint64_t stream) {
  if (start.deviation == 0) {
    std::fill(values.begin(), values.end(), start.constant);
    return;
  }
  parallel_for(static_cast<std::int64_t>(values.size()), [&](std::int64_t i) {
    values[i] = static_cast<float>(start.deviation *
                                   random_normal(seed, stream, static_cast<std::uint64_t>(i)));
  });
}

}  // namespace

std::vector<const LinearPlaces*> LayerPlaces::linears() const {
  std::vector<const LinearPlaces*> all{&qkv, &out, &ff1};
  if (up.outputs > 0) all.push_back(&up);
  all.push_back(&ff2);
  return all;
}

ParameterPlace add_parameter(ArenaLayout& layout, const std::string& name,
                             std::vector<std::int64_t> shape, bool decay) {
  const std::int64_t index = layout.add(name, std::move(shape), decay);
  const Parameter& parameter = layout.parameters()[index];
  return {parameter.offset, parameter.size};
}

TransformerPlaces add_transformer(ArenaLayout& matrices, ArenaLayout& vectors,
                                  const TransformerShape& s) {
  check(s);
  TransformerPlaces p;
  p.token = add_parameter(matrices, "token.embedding", {s.vocabulary, s.width}, true);
  if (s.learned_positions)
    p.position = add_parameter(matrices, "position.embedding", {s.max_tokens, s.width}, true);
  // Without decay, so that rows which no token uses stay as they are.
  if (s.token_types > 0)
    p.type = add_parameter(matrices, "type.embedding", {s.token_types, s.width}, false);
  for (std::int64_t l = 0; l < s.layers; ++l)
    p.layers.push_back(add_layer({matrices, vectors}, "layer" + std::to_string(l), s));
  p.final_norm = add_norm(vectors, "final_norm", s);
  return p;
}

std::vector<ParameterPlace> unread_places_of(const TransformerPlaces& places, std::int64_t width,
                                             std::span<const std::int32_t> tokens) {
  std::vector<ParameterPlace> unread;
  std::int64_t first = 0;  // of the tokens that are not read
  const auto read = [&](std::int64_t token) {
    if (token > first)
      unread.push_back({places.token.offset + first * width, (token - first) * width});
    first = token + 1;
  };
  std::vector<std::int32_t> sorted(tokens.begin(), tokens.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (const std::int32_t token : sorted) read(token);
  read(places.token.size / width);
  for (const LayerPlaces& layer : places.layers)
    for (const LinearPlaces* linear : layer.linears()) unread.push_back(linear->weight);
  return unread;
}

void initialize_transformer(const ArenaLayout& layout, std::int64_t layers, double token_deviation,
                            std::span<float> arena, std::uint64_t seed) {
  if (static_cast<std::int64_t>(arena.size()) != layout.padded_size())
    throw std::invalid_argument("transformer: the arena has the wrong size");
  std::fill(arena.begin(), arena.end(), 0.0f);
  std::uint64_t stream = 0;
  for (const Parameter& parameter : layout.parameters())
    fill(view_of(parameter, arena), start_of(parameter.name, layers, token_deviation), seed,
         stream++);
}

ProductSize product_with(std::int64_t outputs, std::int64_t inputs, std::int64_t tokens,
                         ProductSize::Kind kind, std::int64_t count) {
  switch (kind) {
    case ProductSize::Kind::forward:
      return {kind, tokens, outputs, inputs, count};
    case ProductSize::Kind::backward_data:
      return {kind, tokens, inputs, outputs, count};
    default:
      return {kind, outputs, inputs, tokens, count};
  }
}

void add_products(std::vector<ProductSize>& products, const TransformerShape& shape,
                  std::int64_t tokens, ProductSize::Kind kind) {
  ArenaLayout layout;
  const TransformerPlaces places = add_transformer(layout, shape);
  for (const LinearPlaces* linear : places.layers[0].linears())
    products.push_back(product_with(linear->outputs, linear->inputs, tokens, kind, shape.layers));
}

void check_batch(const TransformerShape& shape, const TokenBatch& batch) {
  const auto require = [](bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
  };
  require(batch.size() >= 1 && batch.offsets[0] == 0 &&
              batch.offsets.back() == static_cast<std::int64_t>(batch.tokens.size()),
          "transformer: the batch's offsets do not span its tokens");
  for (std::int64_t s = 0; s < batch.size(); ++s) {
    const std::int64_t length = std::int64_t{batch.offsets[s + 1]} - batch.offsets[s];
    require(length >= 1, "transformer: a sequence is empty");
    require(length <= shape.max_tokens, "transformer: a sequence is longer than max_tokens");
  }
  for (const std::int32_t token : batch.tokens)
    require(token >= 0 && token < shape.vocabulary,
            "transformer: a token is outside the vocabulary");
}

}  // namespace tutti
