#include "jobs/hugging_face_names.h"

#include <algorithm>

#include <fmt/format.h>

namespace tutti {
namespace {

constexpr const char* kHead = "lm_head.weight";

class PlaceList {
 public:
  explicit PlaceList(std::vector<TensorPlace>& places) : places_(places) {}

  void add(const std::string& name, std::vector<std::int64_t> shape, const std::string& parameter,
           std::int64_t first = 0) {
    places_.push_back({name, std::move(shape), parameter, first, false});
  }
  // A linear layer, and its bias where it has one. `row` is the first of its outputs among the
  // parameter's.
  void linear(const std::string& name, const std::string& parameter, std::int64_t outputs,
              std::int64_t inputs, bool bias, std::int64_t row = 0) {
    add(name + ".weight", {outputs, inputs}, parameter + ".weight", row * inputs);
    if (bias) add(name + ".bias", {outputs}, parameter + ".bias", row);
  }
  // GPT-2's: a matrix [inputs, outputs], and a bias.
  void convolution(const std::string& name, const std::string& parameter, std::int64_t outputs,
                   std::int64_t inputs) {
    places_.push_back({name + ".weight", {inputs, outputs}, parameter + ".weight", 0, true});
    add(name + ".bias", {outputs}, parameter + ".bias");
  }
  void layer_norm(const std::string& name, const std::string& parameter, std::int64_t width,
                  bool old_names = false) {
    add(name + (old_names ? ".gamma" : ".weight"), {width}, parameter + ".gain");
    add(name + (old_names ? ".beta" : ".bias"), {width}, parameter + ".bias");
  }

 private:
  std::vector<TensorPlace>& places_;
};

void add_gpt2(PlaceList& list, const TransformerShape& s, const std::string& prefix) {
  list.add(prefix + "wte.weight", {s.vocabulary, s.width}, "token.embedding");
  list.add(prefix + "wpe.weight", {s.max_tokens, s.width}, "position.embedding");
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const std::string theirs = fmt::format("{}h.{}.", prefix, l), ours = fmt::format("layer{}.", l);
    list.layer_norm(theirs + "ln_1", ours + "norm1", s.width);
    list.convolution(theirs + "attn.c_attn", ours + "qkv", s.qkv_width(), s.width);
    list.convolution(theirs + "attn.c_proj", ours + "out", s.width, s.context_width());
    list.layer_norm(theirs + "ln_2", ours + "norm2", s.width);
    list.convolution(theirs + "mlp.c_fc", ours + "ff1", s.feed_forward, s.width);
    list.convolution(theirs + "mlp.c_proj", ours + "ff2", s.width, s.feed_forward);
  }
  list.layer_norm(prefix + "ln_f", "final_norm", s.width);
}

void add_llama_layer(PlaceList& list, const TransformerShape& s, std::int64_t l) {
  const std::string theirs = fmt::format("model.layers.{}.", l), ours = fmt::format("layer{}.", l);
  const std::string attention = theirs + "self_attn.", mlp = theirs + "mlp.";
  const std::int64_t q = s.context_width(), kv = s.kv_heads * s.head_size;
  list.linear(attention + "q_proj", ours + "qkv", q, s.width, s.qkv_bias);
  list.linear(attention + "k_proj", ours + "qkv", kv, s.width, s.qkv_bias, q);
  list.linear(attention + "v_proj", ours + "qkv", kv, s.width, s.qkv_bias, q + kv);
  list.linear(attention + "o_proj", ours + "out", s.width, q, s.linear_bias);
  list.linear(mlp + "gate_proj", ours + "gate", s.feed_forward, s.width, false);
  list.linear(mlp + "up_proj", ours + "up", s.feed_forward, s.width, false);
  list.linear(mlp + "down_proj", ours + "ff2", s.width, s.feed_forward, false);
  list.add(theirs + "input_layernorm.weight", {s.width}, ours + "norm1.gain");
  list.add(theirs + "post_attention_layernorm.weight", {s.width}, ours + "norm2.gain");
}

void add_llama(PlaceList& list, const TransformerShape& s) {
  list.add("model.embed_tokens.weight", {s.vocabulary, s.width}, "token.embedding");
  for (std::int64_t l = 0; l < s.layers; ++l) add_llama_layer(list, s, l);
  list.add("model.norm.weight", {s.width}, "final_norm.gain");
}

void add_bert_layer(PlaceList& list, const EncoderShape& s, std::int64_t l,
                    const std::string& prefix, bool old_norms) {
  const std::string theirs = fmt::format("{}encoder.layer.{}.", prefix, l),
                    ours = fmt::format("layer{}.", l), self = theirs + "attention.self.";
  list.linear(self + "query", ours + "qkv", s.width, s.width, true);
  list.linear(self + "key", ours + "qkv", s.width, s.width, true, s.width);
  list.linear(self + "value", ours + "qkv", s.width, s.width, true, 2 * s.width);
  list.linear(theirs + "attention.output.dense", ours + "out", s.width, s.width, true);
  list.layer_norm(theirs + "attention.output.LayerNorm", ours + "norm2", s.width, old_norms);
  list.linear(theirs + "intermediate.dense", ours + "ff1", s.feed_forward, s.width, true);
  list.linear(theirs + "output.dense", ours + "ff2", s.width, s.feed_forward, true);
  const std::string closing =
      l + 1 < s.layers ? fmt::format("layer{}.norm1", l + 1) : std::string("final_norm");
  list.layer_norm(theirs + "output.LayerNorm", closing, s.width, old_norms);
}

}  // namespace

std::vector<TensorPlace> hugging_face_places(const EncoderShape& s, const std::string& prefix,
                                             bool old_norm_names) {
  std::vector<TensorPlace> places;
  PlaceList list(places);
  const std::string embeddings = prefix + "embeddings.";
  list.add(embeddings + "word_embeddings.weight", {s.vocabulary, s.width}, "token.embedding");
  list.add(embeddings + "position_embeddings.weight", {s.max_tokens, s.width},
           "position.embedding");
  if (s.token_types > 0)
    list.add(embeddings + "token_type_embeddings.weight", {s.token_types, s.width},
             "type.embedding");
  list.layer_norm(embeddings + "LayerNorm", "layer0.norm1", s.width, old_norm_names);
  for (std::int64_t l = 0; l < s.layers; ++l) add_bert_layer(list, s, l, prefix, old_norm_names);
  if (s.pooler) list.linear(prefix + "pooler.dense", "pooler", s.width, s.width, true);
  return places;
}

bool is_training_head(const std::string& name) { return name.starts_with("cls."); }

std::vector<TensorPlace> hugging_face_places(const DecoderShape& shape, const std::string& prefix,
                                             bool stored_head) {
  std::vector<TensorPlace> places;
  PlaceList list(places);
  const TransformerShape& s = shape.body;
  if (s.learned_positions)
    add_gpt2(list, s, prefix);
  else
    add_llama(list, s);
  if (!shape.tied_head)
    list.add(kHead, {s.vocabulary, s.width}, "head.weight");
  else if (stored_head)
    list.add(kHead, {s.vocabulary, s.width}, "token.embedding");
  return places;
}

bool is_constant_tensor(const std::string& name) {
  constexpr const char* kConstants[] = {".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq",
                                        "embeddings.position_ids"};
  return std::any_of(std::begin(kConstants), std::end(kConstants),
                     [&](const char* end) { return name.ends_with(end); });
}

}  // namespace tutti
