// config.json of transformers: what is read, and what is refused by its name.
#include "jobs/hugging_face_config.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "tests/jobs/golden.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::read_text;

json config_of(const std::string& name) {
  return json::parse(read_text(testing::golden_folder(name) / "config.json"));
}

HuggingFaceConfig read(const json& config) {
  return read_hugging_face_config(config.dump(), "config.json");
}

TEST(HuggingFaceConfig, OfGpt2) {
  const HuggingFaceConfig config = read(config_of("gpt2"));
  EXPECT_EQ(config.family, "gpt2");
  EXPECT_EQ(config.separator, 0);
  EXPECT_EQ(config.decoder(), gpt2_shape(96, 16, 2, 2, 64));
  json wide = config_of("gpt2");
  wide["n_inner"] = 40;
  wide["tie_word_embeddings"] = false;
  EXPECT_EQ(read(wide).decoder().body.feed_forward, 40);
  EXPECT_FALSE(read(wide).decoder().tied_head);
}

TEST(HuggingFaceConfig, OfLlama) {
  const TransformerShape body = read(config_of("llama")).decoder().body;
  EXPECT_EQ(body.kv_heads, 2);
  EXPECT_EQ(body.head_size, 4);
  EXPECT_EQ(body.norm_epsilon, 1e-6f);
  EXPECT_EQ(body.rope, (RopeShape{500, RopeShape::Scaling::llama3, 8, 1, 4, 32}));
  EXPECT_FALSE(body.qkv_bias || body.linear_bias);
  const DecoderShape bias = read(config_of("llama_bias")).decoder();
  EXPECT_TRUE(bias.body.qkv_bias && bias.body.linear_bias && bias.tied_head);
  EXPECT_EQ(bias.body.head_size, 6);
  EXPECT_EQ(bias.body.rope.scaling, RopeShape::Scaling::linear);
  EXPECT_EQ(bias.body.rope.factor, 2);
}

TEST(HuggingFaceConfig, OfBert) {
  const HuggingFaceConfig config = read(config_of("bert"));
  ASSERT_TRUE(config.is_encoder());
  const EncoderShape& shape = config.encoder();
  EXPECT_EQ(encoder_layout(shape).find("type.embedding").shape, (std::vector<std::int64_t>{2, 16}));
  EXPECT_EQ(shape.norm_order, TransformerShape::NormOrder::after);
  EXPECT_EQ(shape.norm_epsilon, 1e-12f);
  EXPECT_EQ(shape.gelu, GeluForm::exact);
  EXPECT_EQ(shape.max_tokens, 64);
  json other = config_of("bert");
  other["hidden_act"] = "gelu_new";
  other["architectures"] = {"BertForMaskedLM"};
  other["position_embedding_type"] = "absolute";
  EXPECT_EQ(read(other).encoder().gelu, GeluForm::tanh);
}

TEST(HuggingFaceConfig, AsVersion4OfTransformersWritesIt) {
  json config = config_of("llama");
  const json rope = config["rope_parameters"];
  config.erase("rope_parameters");
  config["rope_theta"] = 500000.0;
  EXPECT_EQ(read(config).decoder().body.rope, (RopeShape{500000}));
  config["rope_scaling"] = nullptr;
  EXPECT_EQ(read(config).decoder().body.rope, (RopeShape{500000}));
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(read(config).decoder().body.rope, (RopeShape{500000, RopeShape::Scaling::linear, 4}));
  config["rope_scaling"] = rope;
  EXPECT_EQ(read(config).decoder().body.rope.scaling, RopeShape::Scaling::llama3);
}

TEST(HuggingFaceConfig, WindowsAreInAllLayersOrNone) {
  EXPECT_EQ(read(config_of("mistral")).decoder().body.window, 5);
  json mistral = config_of("mistral");
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(read(mistral).decoder().body.window, 0);
  mistral.erase("sliding_window");
  EXPECT_EQ(read(mistral).decoder().body.window, 4096) << "what transformers takes then";
  json qwen2 = config_of("qwen2");
  EXPECT_EQ(read(qwen2).decoder().body.window, 0);
  qwen2.erase("layer_types");
  qwen2["sliding_window"] = 7;
  EXPECT_EQ(read(qwen2).decoder().body.window, 0) << "as long as use_sliding_window is false";
  qwen2["use_sliding_window"] = true;
  EXPECT_EQ(read(qwen2).decoder().body.window, 0) << "beyond max_window_layers only";
  qwen2["max_window_layers"] = 0;
  EXPECT_EQ(read(qwen2).decoder().body.window, 7);
}

TEST(HuggingFaceConfig, TheSeparatorIsTheFirstEndOfText) {
  json config = config_of("llama");
  config["eos_token_id"] = {7, 9};
  EXPECT_EQ(read(config).separator, 7);
  config["eos_token_id"] = nullptr;
  config["bos_token_id"] = 3;
  EXPECT_EQ(read(config).separator, 3);
  config["bos_token_id"] = 96;
  EXPECT_EQ(read(config).separator, std::nullopt);
}

struct Refusal {
  const char *model, *key, *value, *named;
};

// A key's value, and what the message must name.
const Refusal kRefusals[] = {
    {"gpt2", "model_type", "\"t5\"", "t5"},
    {"gpt2", "architectures", "[\"GPT2ForSequenceClassification\"]",
     "GPT2ForSequenceClassification"},
    {"gpt2", "activation_function", "\"gelu\"", "\"gelu\""},
    {"gpt2", "scale_attn_weights", "false", "scale_attn_weights"},
    {"gpt2", "scale_attn_by_inverse_layer_idx", "true", "scale_attn_by_inverse_layer_idx"},
    {"gpt2", "add_cross_attention", "true", "add_cross_attention"},
    {"gpt2", "n_head", "3", "n_head"},
    {"gpt2", "n_layer", "0", "n_layer"},
    {"gpt2", "n_embd", "null", "n_embd"},
    {"gpt2", "n_embd", "1.5", "n_embd"},
    {"gpt2", "layer_norm_epsilon", "0", "epsilon"},
    {"llama", "hidden_act", "\"relu\"", "relu"},
    {"llama", "mlp_bias", "true", "mlp_bias"},
    {"llama", "quantization_config", "{\"bits\": 4}", "quantised"},
    {"llama", "rope_parameters", "{\"rope_type\": \"yarn\", \"factor\": 2}", "yarn"},
    {"llama", "rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}", "dynamic"},
    {"llama", "rope_scaling", "{\"rope_type\": \"longrope\"}", "longrope"},
    {"llama", "rope_scaling", "{\"rope_type\": \"linear\"}", "factor"},
    {"llama", "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}", "factor"},
    {"llama", "partial_rotary_factor", "0.5", "partial_rotary_factor"},
    {"llama", "head_dim", "5", "even"},
    {"llama", "head_dim", "1000000000", "too wide"},
    {"llama", "num_key_value_heads", "3", "num_key_value_heads"},
    {"mistral", "attention_bias", "true", "attention_bias"},
    {"mistral", "layer_types", "[\"sliding_attention\", \"full_attention\"]", "1 of 2"},
    {"mistral", "layer_types", "[\"chunked_attention\"]", "chunked_attention"},
    {"qwen2", "layer_types", "[\"sliding_attention\"]", "window"},
    {"bert", "architectures", "[\"BertForQuestionAnswering\"]", "BertForQuestionAnswering"},
    {"bert", "architectures", "[\"RobertaModel\"]", "RobertaModel"},
    {"bert", "hidden_act", "\"relu\"", "relu"},
    {"bert", "position_embedding_type", "\"relative_key\"", "relative_key"},
    {"bert", "is_decoder", "true", "is_decoder"},
    {"bert", "add_cross_attention", "true", "add_cross_attention"},
    {"bert", "num_attention_heads", "3", "num_attention_heads"},
    {"bert", "type_vocab_size", "0", "type_vocab_size"},
    {"bert", "layer_norm_eps", "0", "epsilon"},
    {"gpt2", "architectures", "[\"BertForMaskedLM\"]", "BertForMaskedLM"}};

TEST(HuggingFaceConfig, RefusesByName) {
  for (const Refusal& refusal : kRefusals) {
    json config = config_of(refusal.model);
    config[refusal.key] = json::parse(refusal.value);
    if (std::string(refusal.model) == "qwen2") config["sliding_window"] = 4;
    try {
      read(config);
      ADD_FAILURE() << refusal.key << " = " << refusal.value << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find(refusal.named), std::string::npos) << error.what();
    }
  }
  json mixed = config_of("qwen2");
  mixed.erase("layer_types");
  mixed.update({{"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 1}});
  EXPECT_THROW(read(mixed), Error);
  EXPECT_THROW(read_hugging_face_config("[", "config.json"), Error);
}

TEST(HuggingFaceConfig, OfOurOwnModelsComesBack) {
  const DecoderShape gpt2 = gpt2_shape(96, 16, 2, 2, 64);
  const auto again = [](const DecoderShape& shape) {
    return read_hugging_face_config(hugging_face_config_of(shape, 7, DType::f32), "config.json");
  };
  EXPECT_EQ(again(gpt2).decoder(), gpt2);
  EXPECT_EQ(again(gpt2).separator, 7);
  DecoderShape llama = read(config_of("llama")).decoder();
  EXPECT_THROW(again(llama), Error) << "a scaling that none of our own has";
  llama.body.rope.scaling = RopeShape::Scaling::none;
  llama.body.rope = RopeShape{500};
  EXPECT_EQ(again(llama).decoder(), llama);
  llama.body.norm = NormKind::layer;
  EXPECT_THROW(again(llama), Error);
}

TEST(HuggingFaceConfig, TheTypeOfTensorsIsChangedWhereItStands) {
  const std::string version5 = with_tensor_type(config_of("gpt2").dump(), DType::bf16);
  EXPECT_EQ(json::parse(version5)["dtype"], "bfloat16");
  EXPECT_FALSE(json::parse(version5).contains("torch_dtype"));
  EXPECT_EQ(json::parse(with_tensor_type("{}", DType::f16))["torch_dtype"], "float16");
}

TEST(HuggingFaceConfig, AnEndTokenStandsBehindTheOthers) {
  const auto ends = [](const char* text) {
    return json::parse(with_end_token(text, 7))["eos_token_id"];
  };
  EXPECT_EQ(ends("{}"), 7);
  EXPECT_EQ(ends(R"({"eos_token_id": null})"), 7);
  EXPECT_EQ(ends(R"({"eos_token_id": 2})"), json({2, 7}));
  EXPECT_EQ(ends(R"({"eos_token_id": [2, 3]})"), json({2, 3, 7}));
  for (const char* text : {R"({"eos_token_id":7 })", R"({"eos_token_id":[2,  7]})", "[", "[]"})
    EXPECT_EQ(with_end_token(text, 7), text);
}

}  // namespace
}  // namespace tutti
