#include "jobs/decoder_model.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "jobs/decoder_source.h"
#include "jobs/encoder_model.h"
#include "runtime/base/error.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

using Body = TransformerShape;

const char* name_of(RopeShape::Scaling scaling) {
  switch (scaling) {
    case RopeShape::Scaling::linear:
      return "linear";
    case RopeShape::Scaling::llama3:
      return "llama3";
    default:
      return "none";
  }
}

RopeShape::Scaling scaling_of(const std::string& name) {
  for (const auto scaling :
       {RopeShape::Scaling::none, RopeShape::Scaling::linear, RopeShape::Scaling::llama3})
    if (name == name_of(scaling)) return scaling;
  throw std::invalid_argument("an unknown scaling of rotary positions, " + name);
}

// No memory or time is taken for a decoder that the model's file is too small to hold.
bool fits(const DecoderShape& s, const Manifest& model) {
  const FileRecord* file = model.find_file(kModelFile);
  if (!file || s.body.layers > std::int64_t(file->extents.size())) return false;
  const Body& b = s.body;
  for (const std::int64_t extent : {b.vocabulary, b.width, b.heads, b.kv_heads, b.head_size,
                                    b.feed_forward, b.max_tokens, b.window})
    if (extent < 0 || extent > std::numeric_limits<std::int32_t>::max()) return false;
  const double rows = std::max({double(b.vocabulary), double(b.feed_forward),
                                double(b.heads + 2 * b.kv_heads) * double(b.head_size),
                                b.learned_positions ? double(b.max_tokens) : 0.0});
  return 4 * double(b.width) * rows <= double(file->bytes) &&
         4 * decoder_layout(s).used_size() <=
             file->bytes + 4 * kParameterAlignment * std::int64_t(file->extents.size());
}

}  // namespace

nlohmann::json decoder_metadata(const DecoderShape& s) {
  const Body& b = s.body;
  nlohmann::json json = {
      {"vocabulary", b.vocabulary},
      {"width", b.width},
      {"layers", b.layers},
      {"heads", b.heads},
      {"kv_heads", b.kv_heads},
      {"head_size", b.head_size},
      {"feed_forward", b.feed_forward},
      {"max_tokens", b.max_tokens},
      {"window", b.window},
      {"feed_forward_kind", b.feed_forward_kind == Body::FeedForward::gelu ? "gelu" : "swiglu"},
      {"norm", b.norm == NormKind::layer ? "layer" : "root_mean_square"},
      {"norm_epsilon", b.norm_epsilon},
      {"positions", b.learned_positions ? "learned" : "rotary"},
      {"qkv_bias", b.qkv_bias},
      {"linear_bias", b.linear_bias},
      {"tied_head", s.tied_head}};
  if (!b.learned_positions)
    json["rope"] = {{"theta", b.rope.theta},
                    {"scaling", name_of(b.rope.scaling)},
                    {"factor", b.rope.factor},
                    {"low_frequency_factor", b.rope.low_frequency_factor},
                    {"high_frequency_factor", b.rope.high_frequency_factor},
                    {"original_tokens", b.rope.original_tokens}};
  return json;
}

DecoderShape decoder_shape(const nlohmann::json& m) {
  DecoderShape s;
  Body& b = s.body;
  for (const auto& [key, value] : {std::pair{"vocabulary", &b.vocabulary},
                                   {"width", &b.width},
                                   {"layers", &b.layers},
                                   {"heads", &b.heads},
                                   {"kv_heads", &b.kv_heads},
                                   {"head_size", &b.head_size},
                                   {"feed_forward", &b.feed_forward},
                                   {"max_tokens", &b.max_tokens},
                                   {"window", &b.window}})
    *value = integer_of(m.at(key));
  b.feed_forward_kind =
      m.at("feed_forward_kind") == "gelu" ? Body::FeedForward::gelu : Body::FeedForward::swiglu;
  b.norm = m.at("norm") == "layer" ? NormKind::layer : NormKind::root_mean_square;
  b.norm_epsilon = m.at("norm_epsilon");
  b.learned_positions = m.at("positions") == "learned";
  b.qkv_bias = m.at("qkv_bias");
  b.linear_bias = m.at("linear_bias");
  s.tied_head = m.at("tied_head");
  if (b.learned_positions) return s;
  const nlohmann::json& rope = m.at("rope");
  b.rope.theta = rope.at("theta");
  b.rope.scaling = scaling_of(rope.at("scaling"));
  b.rope.factor = rope.at("factor");
  b.rope.low_frequency_factor = rope.at("low_frequency_factor");
  b.rope.high_frequency_factor = rope.at("high_frequency_factor");
  b.rope.original_tokens = rope.at("original_tokens");
  return s;
}

DecoderShape decoder_shape_of(const Manifest& model, const std::string& place) {
  const std::string remedy = "give the folder of a language model: of train or import";
  try {
    if (model.metadata_text("architecture") != "decoder")
      throw Error(ExitCode::data, "the model is no language model", place, remedy);
    const DecoderShape shape = decoder_shape(model.metadata.at("shape"));
    if (fits(shape, model)) return shape;
  } catch (const nlohmann::json::exception&) {
  } catch (const std::invalid_argument&) {
  }
  throw Error(ExitCode::data, "the manifest does not describe a decoder that its file holds", place,
              remedy);
}

std::optional<std::int32_t> decoder_separator(const Manifest& model, const DecoderShape& shape) {
  const auto it = model.metadata.find("separator");
  if (it == model.metadata.end() || !it->is_number_integer()) return std::nullopt;
  const std::int64_t token = integer_of(*it);
  if (token < 0 || token >= shape.body.vocabulary) return std::nullopt;
  return std::int32_t(token);
}

LoadedDecoder load_decoder(Comm& comm, const std::filesystem::path& folder,
                           const std::string& dtype) {
  const DType compute = compute_type(comm, dtype);
  LoadedDecoder loaded;
  comm.attempt([&] {
    const DecoderSource source = open_decoder(folder);
    loaded.manifest = source.manifest;
    const auto separator = decoder_separator(loaded.manifest, source.shape);
    if (!separator)
      throw Error(ExitCode::data, "the model names no token that ends a text",
                  (folder / kManifestFile).string(),
                  "import it again from a folder whose config.json names an eos_token_id");
    loaded.separator = *separator;
    loaded.decoder = std::make_unique<Decoder>(source.shape, compute);
    loaded.parameters.grow(loaded.decoder->layout().padded_size());
    load_decoder_parameters(source, loaded.parameters.span());
    loaded.decoder->load_parameters(loaded.parameters.span());
  });
  return loaded;
}

}  // namespace tutti
