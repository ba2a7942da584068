#include "jobs/train_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

#include "runtime/data/manifest.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

[[noreturn]] void wrong(const std::string& what, const char* key, const char* fix) {
  throw Error(ExitCode::usage, what, key, fix);
}

// Llama's: two thirds of four times the width, rounded up to a multiple of 256.
std::int64_t llama_feed_forward(std::int64_t width) { return (8 * width / 3 + 255) / 256 * 256; }

}  // namespace

void ModelConfig::describe(Schema& s) {
  s.choice("model.kind", &kind, {"encoder", "gpt2", "llama"},
           "encoder: of texts, for search; gpt2, llama: language models of these families");
  s.key("model.from", &from,
        "folder of a model to go on from, of import or train; it says all of model.* but "
        "model.max_tokens");
  EncoderConfig::describe(s);
  s.key("model.kv_heads", &kv_heads, "",
        "llama: heads that keys and values have; divides model.heads; 0: as many");
  s.key("model.rope_theta", &rope_theta, "", "llama: base of the rotary positions");
  s.key("model.norm_epsilon", &norm_epsilon, "", "gpt2, llama: added to the variance in norms");
  s.key("model.tied_head", &tied_head, "llama: the token embedding is the head as well");
}

void ModelConfig::check_from() {
  const ModelConfig none;
  const auto sizes = [](const ModelConfig& m) {
    return std::tie(m.kind, m.width, m.layers, m.heads, m.feed_forward, m.kv_heads, m.rope_theta,
                    m.norm_epsilon, m.tied_head);
  };
  if (sizes(*this) != sizes(none))
    wrong("model.from says what the model is, and another key of model.* does so, too", "model.*",
          "leave out all but model.from and model.max_tokens");
  if (max_tokens < 1) wrong("expected at least 1", "model.max_tokens", "");
  from_decoder_ = load_manifest(from, kModelKind).metadata_text("architecture") != "encoder";
}

void ModelConfig::check() {
  if (!from.empty()) return check_from();
  if (feed_forward == 0) feed_forward = kind == "llama" ? llama_feed_forward(width) : 4 * width;
  EncoderConfig::check();
  if (kv_heads == 0) kv_heads = heads;
  if (kv_heads < 1 || heads % kv_heads)
    wrong("model.kv_heads does not divide model.heads", "model.kv_heads", "");
  if (kind == "llama" && width / heads % 2)
    wrong("rotary positions need an even size of a head", "model.heads",
          "choose model.width / model.heads even");
  if (rope_theta <= 1 || norm_epsilon <= 0) wrong("expected a positive number", "model.*", "");
}

DecoderShape ModelConfig::decoder(std::int64_t vocabulary) const {
  DecoderShape shape = gpt2_shape(vocabulary, width, layers, heads, max_tokens);
  TransformerShape& b = shape.body;
  b.feed_forward = feed_forward;
  b.norm_epsilon = float(norm_epsilon);
  if (kind == "gpt2") return shape;
  b.kv_heads = kv_heads;
  b.feed_forward_kind = TransformerShape::FeedForward::swiglu;
  b.norm = NormKind::root_mean_square;
  b.learned_positions = b.qkv_bias = b.linear_bias = false;
  b.rope.theta = rope_theta;
  shape.tied_head = tied_head;
  return shape;
}

void LoraConfig::describe(Schema& s) {
  s.key("lora.rank", &rank, "",
        "language models of model.from: train low-rank adapters of this rank beside its matrices, "
        "which stay as they are, in bf16; 0: train the model itself");
  s.key("lora.alpha", &alpha, "", "what adapters add is multiplied by lora.alpha / lora.rank");
  s.key("lora.modules", &modules,
        "the linear modules of each layer that get one, by Hugging Face's names, such as q_proj or "
        "mlp.c_proj; none: all of them");
}

void LoraConfig::check(const ModelConfig& model) const {
  if (rank < 0 || !(alpha > 0)) wrong("expected a positive number", "lora.*", "");
  if (rank == 0 && !modules.empty())
    wrong("lora.modules says where adapters go, and lora.rank that there are none", "lora.rank",
          "give a rank, such as 16");
  if (rank > 0 && (model.from.empty() || !model.is_decoder()))
    wrong("adapters stand beside a language model that is there already", "lora.rank",
          "name its folder in model.from");
}

void TrainConfig::describe(Schema& s) {
  s.key("dataset", &dataset, "folder of a text dataset, as the shard job leaves it");
  s.require("dataset");
  model.describe(s);
  lora.describe(s);
  s.key("data.separator", &separator,
        "language models: the tokenizer's piece in front of each document; empty: the one of "
        "model.from, or </s>; examples have their own");
  s.key("train.steps", &steps, "steps", "optimizer updates; 0 leaves an untrained model");
  s.duration("train.budget", &budget_seconds,
             "time to train for: lowers train.steps, once, after the first steps have been timed; "
             "0: no limit");
  s.key("train.seed", &seed, "", "all randomness follows from it");
  s.choice("train.dtype", &dtype, {"auto", "bf16", "f32"},
           "type of the products; auto: bf16 where the processor multiplies it, else f32");
  s.key(
      "train.recompute", &recompute,
      "keep only the layers' inputs, and compute their activations once more in the backward pass: "
      "less memory, a quarter less speed, the same bytes; auto: where lora.rank says that adapters "
      "are trained");
  s.key("train.temperature", &temperature, "", "encoder: divides the similarities in the loss");
  s.key("train.span_share", &span_share, "",
        "encoder: share of pairs whose query is a run of words out of another passage of the "
        "document");
  s.key("train.label_smoothing", &label_smoothing, "",
        "language models: share of the target spread over all tokens");
  s.key("train.z_loss", &z_loss, "",
        "language models: weight of the squared logarithm of the softmax's sum");
  s.key("train.dropout", &dropout, "",
        "language models: share of the elements of embeddings, attention outputs and feed-forward "
        "outputs that a step drops; which ones follows from the seed, the step and the sample");
  s.key("train.freeze", &patterns.freeze,
        "patterns of parameters that never change, such as \"token.embedding\" or \"layer0.*\"; "
        "their gradient is still computed, but counts in no norm");
  s.key("train.give_up_after", &give_up_after, "steps",
        "end with code 65 after so many non-finite steps in a row");
  s.key("train.spike_window", &spike_window, "steps",
        "losses that the next one is compared with; one that stands out is told in the log, and as "
        "an event with its samples; 0: none is");
  s.key("train.spike_deviations", &spike_deviations, "",
        "a loss stands out so many deviations above the median of those before it; a deviation is "
        "1.4826 times their median distance to it, and at least 0.01 of it");
  s.key("evaluate.every", &evaluate_every, "steps",
        "measure the model on the held-out documents after so many steps; 0: at the end only");
  s.key("evaluate.sequences", &evaluate_sequences, "sequences",
        "language models: held-out sequences that are measured, at most; 0: none");
  s.key("evaluate.k", &recall_k, "passages",
        "encoder: a held-out document's query finds it where one of so many best passages is the "
        "document's; 0: that is not measured");
  s.key("evaluate.queries", &recall_queries, "queries",
        "encoder: at most so many held-out documents' queries; 0: all");
  s.key("evaluate.passages", &recall_passages, "passages",
        "encoder: search in about so many, as the evaluate job does; 0: in all");
  s.key("sts.file", &sts,
        "encoder: pairs of sentences with a score each, as the evaluate job takes them: measure "
        "Spearman's correlation of scores and cosines, too; \"\": no");
  s.key("batch.global", &global_batch, "samples",
        "pairs or sequences of an update; to a pair, every other passage of them is a negative");
  s.key("batch.micro", &micro_batch, "samples", "samples that run at a time");
  s.key("batch.leaf", &leaf_size, "samples",
        "language models: the piece in which sums are ordered, a multiple of batch.micro; 0: "
        "batch.micro");
  s.choice(
      "train.reduce", &reduce, {"exact", "fast"},
      "order of the gradient's sum; exact: a fixed tree, the same bytes on any number of ranks; "
      "fast: MPI's");
  s.choice("optimizer.schedule", &schedule, {"constant", "linear", "cosine", "wsd"},
           "of the learning rate after the warm-up; wsd: constant, then linear over the last "
           "optimizer.decay_share");
  s.key("optimizer.learning_rate", &learning_rate, "", "the highest, after the warm-up");
  s.key("optimizer.final_rate", &final_rate, "",
        "the last learning rate, as a share of the highest");
  s.key("optimizer.decay_share", &decay_share, "",
        "wsd: share of the steps in which the rate falls");
  s.key("optimizer.warmup_steps", &warmup_steps, "steps", "steps of linear warm-up");
  s.key("optimizer.beta1", &beta1, "", "decay of AdamW's first moment");
  s.key("optimizer.beta2", &beta2, "", "decay of AdamW's second moment");
  s.key("optimizer.epsilon", &epsilon, "", "AdamW's epsilon");
  s.key("optimizer.weight_decay", &weight_decay, "", "decoupled weight decay of matrices");
  s.key(
      "optimizer.decay", &patterns.decay,
      "weight decay by name, in place of optimizer.weight_decay, such as \"layer*.norm*=0.01\" or "
      "\"token.embedding=0\"; the last pattern that matches counts");
  s.key("optimizer.clip_norm", &clip_norm, "",
        "largest norm of the whole gradient; 0: no clipping");
  s.key("optimizer.ema", &average_decay, "",
        "decay of an exponential moving average of the parameters, such as 0.999: the average is "
        "what is measured and what is saved as the model; 0: none");
  checkpoint.describe(s);
  s.duration(
      "log.every", &log_every,
      "time between progress lines, which tell tokens a second and the roofline's share: "
      "operations of products with weight matrices, 2 a weight and token forward and 4 "
      "backward (attention and recomputation are not counted, the encoder's second forward "
      "pass is), a second, over the most that was measured of this machine's products, which is "
      "kept in ~/.cache/tutti");
}

void TrainConfig::check() {
  model.check();
  lora.check(model);
  if (steps < 0) wrong("train.steps is negative", "train.steps", "give 0 or more");
  if (micro_batch < 1 || global_batch < (model.is_decoder() ? 1 : 2))
    wrong("a batch is too small", "batch.*", "use batch.global >= 2");
  if (global_batch % micro_batch)
    wrong("batch.global is no multiple of batch.micro", "batch.global", "choose a multiple");
  if (!model.is_decoder() && leaf_size != 0)
    wrong("only language models have pieces of several micro-batches", "batch.leaf",
          "leave it out");
  if (leaf() % micro_batch || global_batch % leaf())
    wrong("batch.leaf is no multiple of batch.micro, or does not divide batch.global", "batch.leaf",
          "");
  if (temperature <= 0)
    wrong("the temperature must be positive", "train.temperature", "0.05 is usual");
  if (span_share < 0 || span_share > 1) wrong("a share is between 0 and 1", "train.span_share", "");
  if (label_smoothing < 0 || label_smoothing >= 1 || z_loss < 0)
    wrong("expected 0 or more, and a smoothing below 1", "train.label_smoothing, train.z_loss", "");
  if (dropout < 0 || dropout >= 1) wrong("a share is below 1", "train.dropout", "0.1 is usual");
  if (dropout > 0 && !model.is_decoder())
    wrong("only language models are trained with dropout", "train.dropout", "leave it out");
  if (!sts.empty() && model.is_decoder())
    wrong("only encoders order pairs of sentences", "sts.file", "leave it out");
  if (average_decay < 0 || average_decay >= 1)
    wrong("expected 0 or more, and less than 1", "optimizer.ema", "0.999 is usual");
  if (decay_share < 0 || decay_share > 1)
    wrong("a share is between 0 and 1", "optimizer.decay_share", "");
  if (spike_deviations <= 0)
    wrong("expected a positive number", "train.spike_deviations", "6 is usual");
  if (spike_window < 0 || warmup_steps < 0 || evaluate_every < 0 || evaluate_sequences < 0 ||
      recall_k < 0 || recall_queries < 0 || recall_passages < 0 || give_up_after < 1)
    wrong("a count is too small", "configuration", "");
  checkpoint.check();
}

OptimizerOptions TrainConfig::optimizer_options(const ArenaLayout& layout) const {
  OptimizerOptions o;
  o.adamw.beta1 = float(beta1);
  o.adamw.beta2 = float(beta2);
  o.adamw.epsilon = float(epsilon);
  o.rules = rules_by_name(layout, weight_decay, patterns);
  o.clip_norm = clip_norm;
  o.average_decay = average_decay;
  o.order = reduce == "fast" ? ReduceOrder::fast : ReduceOrder::exact;
  return o;
}

double TrainConfig::learning_rate_at(std::int64_t step, std::int64_t total) const {
  if (step < warmup_steps) return learning_rate * double(step + 1) / double(warmup_steps);
  const double length = double(std::max<std::int64_t>(1, total - warmup_steps));
  const double done = std::min(1.0, double(step - warmup_steps) / length);
  double share = 1;  // of the way from the last rate to the highest
  if (schedule == "linear") share = 1 - done;
  if (schedule == "cosine") share = 0.5 * (1 + std::cos(std::numbers::pi * done));
  if (schedule == "wsd") {
    const double left = double(total - step),
                 decay = std::max(1.0, std::ceil(decay_share * double(total)));
    share = std::min(1.0, left / decay);
  }
  return learning_rate * (final_rate + (1 - final_rate) * share);
}

}  // namespace tutti
