#include "kernels/model/encoder_layout.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "kernels/core/parallel.h"
#include "kernels/core/random.h"

namespace tutti {
namespace {

// Token embeddings start larger than what the layers add to them, so that an untrained encoder
// already tells sequences apart by their words.
constexpr double kTokenDeviation = 0.1;
constexpr double kDeviation = 0.02;

EncoderParameter add(ArenaLayout& layout, const std::string& name, std::vector<std::int64_t> shape,
                     bool decay) {
  const std::int64_t index = layout.add(name, std::move(shape), decay);
  const Parameter& parameter = layout.parameters()[index];
  return {parameter.offset, parameter.size};
}

EncoderNorm add_norm(ArenaLayout& layout, const std::string& name, std::int64_t width) {
  EncoderNorm norm;
  norm.gain = add(layout, name + ".gain", {width}, false);
  norm.bias = add(layout, name + ".bias", {width}, false);
  return norm;
}

EncoderLinear add_linear(ArenaLayout& layout, const std::string& name, std::int64_t outputs,
                         std::int64_t inputs) {
  EncoderLinear linear;
  linear.weight = add(layout, name + ".weight", {outputs, inputs}, true);
  linear.bias = add(layout, name + ".bias", {outputs}, false);
  linear.outputs = outputs;
  linear.inputs = inputs;
  return linear;
}

void check(const EncoderShape& s) {
  if (s.vocabulary < 1 || s.width < 1 || s.layers < 1 || s.heads < 1 || s.feed_forward < 1 ||
      s.max_tokens < 1)
    throw std::invalid_argument("encoder: every extent of the shape must be at least one");
  if (s.width % s.heads != 0)
    throw std::invalid_argument("encoder: the width must be a multiple of the heads");
}

// How the values of one parameter start: normal with this deviation, or a constant.
struct Start {
  double deviation = 0;
  float constant = 0;
};

Start start_of(const std::string& name, std::int64_t layers) {
  const double into_residual = kDeviation / std::sqrt(2.0 * static_cast<double>(layers));
  if (name == "token.embedding") return {kTokenDeviation, 0};
  if (name == "position.embedding") return {kDeviation, 0};
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

EncoderParameters encoder_parameters(const EncoderShape& s) {
  check(s);
  EncoderParameters p;
  p.token = add(p.layout, "token.embedding", {s.vocabulary, s.width}, true);
  p.position = add(p.layout, "position.embedding", {s.max_tokens, s.width}, true);
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const std::string name = "layer" + std::to_string(l);
    EncoderLayer& layer = p.layers.emplace_back();
    layer.norm1 = add_norm(p.layout, name + ".norm1", s.width);
    layer.qkv = add_linear(p.layout, name + ".qkv", 3 * s.width, s.width);
    layer.out = add_linear(p.layout, name + ".out", s.width, s.width);
    layer.norm2 = add_norm(p.layout, name + ".norm2", s.width);
    layer.ff1 = add_linear(p.layout, name + ".ff1", s.feed_forward, s.width);
    layer.ff2 = add_linear(p.layout, name + ".ff2", s.width, s.feed_forward);
  }
  p.final_norm = add_norm(p.layout, "final_norm", s.width);
  return p;
}

void initialize_encoder(const EncoderShape& shape, std::span<float> arena, std::uint64_t seed) {
  const EncoderParameters p = encoder_parameters(shape);
  if (static_cast<std::int64_t>(arena.size()) != p.layout.padded_size())
    throw std::invalid_argument("encoder: the arena has the wrong size");
  std::fill(arena.begin(), arena.end(), 0.0f);
  std::uint64_t stream = 0;
  for (const Parameter& parameter : p.layout.parameters())
    fill(view_of(parameter, arena), start_of(parameter.name, shape.layers), seed, stream++);
}

}  // namespace tutti
