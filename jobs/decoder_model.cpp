#include "jobs/decoder_model.h"

#include <stdexcept>

#include "jobs/encoder_model.h"
#include "runtime/base/error.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"

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
    *value = m.at(key).get<std::int64_t>();
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

LoadedDecoder load_decoder(Comm& comm, const std::filesystem::path& folder,
                           const std::string& dtype) {
  const DType compute = compute_type(comm, dtype);
  LoadedDecoder loaded;
  comm.attempt([&] {
    loaded.manifest = load_manifest(folder, kModelKind);
    const nlohmann::json& metadata = loaded.manifest.metadata;
    const std::string place = (folder / kManifestFile).string();
    try {
      if (metadata.at("architecture") != "decoder")
        throw Error(ExitCode::data,
                    "it is no language model, but an " + metadata.at("architecture").dump(), place,
                    "give a model of model.kind = \"gpt2\" or \"llama\"");
      loaded.decoder = std::make_unique<Decoder>(decoder_shape(metadata.at("shape")), compute);
      loaded.separator = metadata.at("separator");
    } catch (const nlohmann::json::exception&) {
      throw Error(ExitCode::data, "the manifest does not describe a language model", place,
                  "give the folder of one");
    } catch (const std::invalid_argument& e) {
      throw Error(ExitCode::data, e.what(), place, "give the folder of a whole model");
    }
    loaded.parameters.grow(loaded.decoder->layout().padded_size());
    load_parameters(folder, loaded.manifest, loaded.decoder->layout(), loaded.parameters.span());
    loaded.decoder->load_parameters(loaded.parameters.span());
  });
  return loaded;
}

}  // namespace tutti
