#include "jobs/hugging_face_config.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/json_node.h"

namespace tutti {
namespace {

using Body = TransformerShape;

constexpr const char* kOtherModel =
    "give a model of one of the families gpt2, llama, mistral, qwen2, bert";

struct Family {
  const char *name, *architecture;  // others of BERT's differ in heads that an encoder leaves out
  std::int64_t kv_heads;            // where the file does not say; 0: as many as heads
  std::int64_t max_tokens, window;
};
constexpr Family kFamilies[] = {{"gpt2", "GPT2LMHeadModel", 0, 1024, 0},
                                {"llama", "LlamaForCausalLM", 0, 2048, 0},
                                {"mistral", "MistralForCausalLM", 8, 131072, 4096},
                                {"qwen2", "Qwen2ForCausalLM", 32, 32768, 4096},
                                {"bert", "BertModel", 0, 512, 0}};
constexpr std::string_view kBertWithHeads[] = {"BertForMaskedLM", "BertForPreTraining"};

[[noreturn]] void refuse(const JsonNode& node, const std::string& what) {
  node.fail(what + " is not supported", kOtherModel);
}

const Family& family_of(const JsonNode& config) {
  const JsonNode type = config.at("model_type");
  const auto* family = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                    [&](const Family& f) { return type.text() == f.name; });
  if (family == std::end(kFamilies)) refuse(type, "the architecture \"" + type.text() + "\"");
  if (!config.has("architectures")) return *family;
  for (const JsonNode& architecture : config.at("architectures").items())
    if (architecture.text() != family->architecture &&
        (type.text() != "bert" || !std::ranges::count(kBertWithHeads, architecture.text())))
      refuse(architecture, "the architecture \"" + architecture.text() + "\"");
  return *family;
}

std::int64_t extent(const JsonNode& config, const char* name) {
  const JsonNode node = config.at(name);
  if (node.integer() < 1) node.fail("expected at least 1");
  return node.integer();
}

std::int64_t extent_or(const JsonNode& config, const char* name, std::int64_t otherwise) {
  return config.has(name) ? extent(config, name) : otherwise;
}

double positive(const JsonNode& config, const char* name) {
  const JsonNode node = config.at(name);
  if (!(node.number() > 0)) node.fail("expected more than 0");
  return node.number();
}

void require_flag(const JsonNode& config, const char* name, bool value) {
  if (config.boolean_or(name, value) != value)
    refuse(config.at(name), fmt::format("\"{}\": {}", name, !value));
}

void require_activation(const JsonNode& config, const char* key,
                        std::initializer_list<const char*> names) {
  if (!config.has(key)) return;
  const std::string& found = config.at(key).text();
  if (std::none_of(names.begin(), names.end(), [&](const char* name) { return found == name; }))
    refuse(config.at(key), "the activation \"" + found + "\"");
}

void require_whole_rotation(const JsonNode& node) {
  if (node.number_or("partial_rotary_factor", 1) != 1)
    refuse(node.at("partial_rotary_factor"), "a rotation of a part of each head");
}

void read_rope_scaling(const JsonNode& node, RopeShape& rope) {
  const std::string type = node.text_or("rope_type", node.text_or("type", "default"));
  if (node.has("rope_theta")) rope.theta = positive(node, "rope_theta");
  require_whole_rotation(node);
  if (type == "default") return;
  if (type != "linear" && type != "llama3") refuse(node, "the rope type \"" + type + "\"");
  rope.factor = positive(node, "factor");
  rope.scaling = RopeShape::Scaling::linear;
  if (type == "linear") return;
  rope.scaling = RopeShape::Scaling::llama3;
  rope.low_frequency_factor = positive(node, "low_freq_factor");
  rope.high_frequency_factor = positive(node, "high_freq_factor");
  rope.original_tokens = positive(node, "original_max_position_embeddings");
}

RopeShape read_rope(const JsonNode& config) {
  RopeShape rope;
  require_whole_rotation(config);
  if (config.has("rope_theta")) rope.theta = positive(config, "rope_theta");
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (config.has(key)) read_rope_scaling(config.at(key), rope);
  return rope;
}

// Layers with a window, out of all.
std::int64_t windowed_layers(const JsonNode& config, const Family& family, std::int64_t layers) {
  const bool qwen = std::string_view(family.name) == "qwen2";
  const bool windows = qwen ? config.boolean_or("use_sliding_window", false) : family.window > 0;
  if (!config.has("layer_types")) {
    if (!windows) return 0;
    return qwen ? std::max<std::int64_t>(0, layers - config.integer_or("max_window_layers", 28))
                : layers;
  }
  std::int64_t count = 0;
  for (const JsonNode& type : config.at("layer_types").items()) {
    if (type.text() != "full_attention" && type.text() != "sliding_attention")
      refuse(type, "a layer of type \"" + type.text() + "\"");
    count += type.text() == "sliding_attention";
  }
  if (count > 0 && !windows) refuse(config.at("layer_types"), "a window");
  return count;
}

std::int64_t read_window(const JsonNode& config, const Family& family, std::int64_t layers) {
  if (family.window == 0) return 0;
  const bool none = config.value().contains("sliding_window") && !config.has("sliding_window");
  const std::int64_t windowed = none ? 0 : windowed_layers(config, family, layers);
  if (windowed == 0) return 0;
  if (windowed != layers)
    config.fail(
        fmt::format("a sliding window in {} of {} layers is not supported", windowed, layers),
        kOtherModel);
  return extent_or(config, "sliding_window", family.window);
}

DecoderShape read_gpt2(const JsonNode& config) {
  require_activation(config, "activation_function", {"gelu_new", "gelu_pytorch_tanh"});
  require_flag(config, "scale_attn_weights", true);
  require_flag(config, "scale_attn_by_inverse_layer_idx", false);
  require_flag(config, "add_cross_attention", false);
  const std::int64_t width = extent(config, "n_embd"), heads = extent(config, "n_head");
  if (width % heads) config.at("n_head").fail("the heads do not divide the width");
  DecoderShape shape = gpt2_shape(extent(config, "vocab_size"), width, extent(config, "n_layer"),
                                  heads, extent(config, "n_positions"));
  shape.body.feed_forward = extent_or(config, "n_inner", 4 * width);
  shape.body.norm_epsilon = float(config.number_or("layer_norm_epsilon", 1e-5));
  shape.tied_head = config.boolean_or("tie_word_embeddings", true);
  return shape;
}

std::int64_t read_head_size(const JsonNode& config, const Body& body) {
  if (!config.has("head_dim") && body.width % body.heads)
    config.at("num_attention_heads").fail("the heads do not divide the width");
  const std::int64_t size = extent_or(config, "head_dim", body.width / body.heads);
  if (size % 2) config.fail("rotary positions need an even size of a head");
  if (body.heads * size > std::numeric_limits<std::int32_t>::max())
    config.fail("the heads are too wide together");
  return size;
}

// Of Llama, Mistral and Qwen2.
DecoderShape read_llama(const JsonNode& config, const Family& family) {
  require_activation(config, "hidden_act", {"silu"});
  require_flag(config, "mlp_bias", false);
  DecoderShape shape;
  Body& body = shape.body;
  body.vocabulary = extent(config, "vocab_size");
  body.width = extent(config, "hidden_size");
  body.layers = extent(config, "num_hidden_layers");
  body.heads = extent(config, "num_attention_heads");
  body.kv_heads =
      extent_or(config, "num_key_value_heads", family.kv_heads == 0 ? body.heads : family.kv_heads);
  if (body.heads % body.kv_heads)
    config.fail("num_key_value_heads does not divide num_attention_heads");
  body.head_size = read_head_size(config, body);
  body.feed_forward = extent(config, "intermediate_size");
  body.max_tokens = extent_or(config, "max_position_embeddings", family.max_tokens);
  body.window = read_window(config, family, body.layers);
  body.feed_forward_kind = Body::FeedForward::swiglu;
  body.norm = NormKind::root_mean_square;
  body.norm_epsilon = float(config.number_or("rms_norm_eps", 1e-6));
  body.learned_positions = false;
  body.rope = read_rope(config);
  const bool biases = config.boolean_or("attention_bias", false);
  const bool qwen = std::string_view(family.name) == "qwen2";
  if (biases && std::string_view(family.name) != "llama")
    refuse(config.at("attention_bias"), "\"attention_bias\"");
  body.qkv_bias = biases || qwen;
  body.linear_bias = biases;
  shape.tied_head = config.boolean_or("tie_word_embeddings", false);
  return shape;
}

EncoderShape read_bert(const JsonNode& config, const Family& family) {
  require_activation(config, "hidden_act", {"gelu", "gelu_new", "gelu_pytorch_tanh"});
  require_flag(config, "is_decoder", false);
  require_flag(config, "add_cross_attention", false);
  if (config.text_or("position_embedding_type", "absolute") != "absolute")
    refuse(config.at("position_embedding_type"),
           "positions of the type \"" + config.at("position_embedding_type").text() + "\"");
  EncoderShape shape;
  shape.vocabulary = extent(config, "vocab_size");
  shape.width = extent(config, "hidden_size");
  shape.layers = extent(config, "num_hidden_layers");
  shape.heads = extent(config, "num_attention_heads");
  if (shape.width % shape.heads)
    config.at("num_attention_heads").fail("the heads do not divide the width");
  shape.feed_forward = extent(config, "intermediate_size");
  shape.max_tokens = extent_or(config, "max_position_embeddings", family.max_tokens);
  shape.norm_order = Body::NormOrder::after;
  shape.norm_epsilon = float(config.number_or("layer_norm_eps", 1e-12));
  shape.gelu = config.text_or("hidden_act", "gelu") == "gelu" ? GeluForm::exact : GeluForm::tanh;
  shape.token_types = extent_or(config, "type_vocab_size", 2);
  if (!(shape.norm_epsilon > 0)) config.fail("the norm's epsilon is not above 0");
  return shape;
}

// A number, or the first of a list of them.
std::optional<std::int32_t> token_of(const JsonNode& config, const char* key) {
  if (!config.has(key)) return std::nullopt;
  const JsonNode node = config.at(key);
  if (!node.value().is_array()) return std::int32_t(node.integer());
  const auto items = node.items();
  return items.empty() ? std::nullopt : std::optional(std::int32_t(items[0].integer()));
}

std::optional<std::int32_t> read_separator(const JsonNode& config, std::int64_t vocabulary) {
  auto token = token_of(config, "eos_token_id");
  if (!token) token = token_of(config, "bos_token_id");
  return token && *token < vocabulary ? token : std::nullopt;
}

// The shortest decimal number that is this float.
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

nlohmann::ordered_json gpt2_config(const DecoderShape& shape) {
  const Body& body = shape.body;
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"vocab_size", body.vocabulary},
          {"n_positions", body.max_tokens},
          {"n_embd", body.width},
          {"n_layer", body.layers},
          {"n_head", body.heads},
          {"n_inner", body.feed_forward},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", shortest(body.norm_epsilon)},
          {"attn_pdrop", 0.0},
          {"embd_pdrop", 0.0},
          {"resid_pdrop", 0.0}};
}

nlohmann::ordered_json llama_config(const DecoderShape& shape) {
  const Body& body = shape.body;
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", body.vocabulary},
          {"max_position_embeddings", body.max_tokens},
          {"hidden_size", body.width},
          {"intermediate_size", body.feed_forward},
          {"num_hidden_layers", body.layers},
          {"num_attention_heads", body.heads},
          {"num_key_value_heads", body.kv_heads},
          {"head_dim", body.head_size},
          {"hidden_act", "silu"},
          {"rms_norm_eps", shortest(body.norm_epsilon)},
          {"rope_theta", body.rope.theta},
          {"rope_scaling", nullptr},
          {"attention_bias", body.linear_bias},
          {"mlp_bias", false}};
}

}  // namespace

HuggingFaceConfig read_hugging_face_config(const std::string& text, const std::string& place) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  const JsonNode config(json, place + ": ");
  if (!json.is_object()) config.fail("expected a JSON object");
  const Family& family = family_of(config);
  if (config.has("quantization_config"))
    refuse(config.at("quantization_config"), "a model with quantised weights");
  if (std::string_view(family.name) == "bert")
    return {family.name, read_bert(config, family), std::nullopt};
  const bool gpt2 = std::string_view(family.name) == "gpt2";
  const DecoderShape shape = gpt2 ? read_gpt2(config) : read_llama(config, family);
  if (!(shape.body.norm_epsilon > 0)) config.fail("the norm's epsilon is not above 0");
  return {family.name, shape, read_separator(config, shape.body.vocabulary)};
}

std::string hugging_face_config_of(const DecoderShape& shape, std::int32_t separator, DType dtype) {
  const Body& body = shape.body;
  const bool gelu = body.feed_forward_kind == Body::FeedForward::gelu;
  const bool gpt2 = body.learned_positions && gelu && body.norm == NormKind::layer &&
                    body.qkv_bias && body.linear_bias && body.kv_heads == body.heads;
  const bool llama = !body.learned_positions && !gelu && body.norm == NormKind::root_mean_square &&
                     body.qkv_bias == body.linear_bias &&
                     body.rope.scaling == RopeShape::Scaling::none;
  if ((!gpt2 && !llama) || body.window > 0)
    throw Error(ExitCode::data, "no family of transformers has the shape of this model",
                "the model's metadata", "export models of the kinds gpt2 and llama");
  nlohmann::ordered_json config = gpt2 ? gpt2_config(shape) : llama_config(shape);
  config["tie_word_embeddings"] = shape.tied_head;
  config["bos_token_id"] = separator;
  config["eos_token_id"] = separator;
  config["torch_dtype"] = torch_name_of(dtype);
  return config.dump(2) + "\n";
}

std::string with_tensor_type(const std::string& config, DType dtype) {
  auto json = nlohmann::ordered_json::parse(config);
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = torch_name_of(dtype);
  return json.dump(2) + "\n";
}

std::string with_end_token(const std::string& config, std::int32_t token) {
  auto json = nlohmann::ordered_json::parse(config, nullptr, false);
  if (!json.is_object()) return config;
  auto& named = json["eos_token_id"];
  auto tokens = named.is_array() ? named : nlohmann::ordered_json::array();
  if (named.is_number()) tokens.push_back(named);
  if (std::find(tokens.begin(), tokens.end(), token) != tokens.end()) return config;
  tokens.push_back(token);
  named = tokens.size() == 1 ? tokens[0] : tokens;
  return json.dump(2) + "\n";
}

const char* torch_name_of(DType dtype) {
  CHECK(dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16);
  return dtype == DType::f32 ? "float32" : dtype == DType::bf16 ? "bfloat16" : "float16";
}

}  // namespace tutti
