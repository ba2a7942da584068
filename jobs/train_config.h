// The keys of the train job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobs/encoder_model.h"
#include "jobs/parameter_patterns.h"
#include "jobs/sharded_optimizer.h"
#include "kernels/model/decoder.h"
#include "runtime/base/config.h"
#include "runtime/checkpoint/checkpoint.h"

namespace tutti {

// The shape of what is trained.
struct ModelConfig : EncoderConfig {
  std::string kind = "encoder";
  std::string from;  // folder of a model to go on from; only max_tokens counts beside it
  std::int64_t kv_heads = 0;
  double rope_theta = 10000, norm_epsilon = 1e-5;
  bool tied_head = true;

  void describe(Schema& schema);
  // Throws Error(usage), Error(data) where `from` is no model's folder. Local.
  void check();
  // Once check() has passed.
  bool is_decoder() const { return from.empty() ? kind != "encoder" : from_decoder_; }
  DecoderShape decoder(std::int64_t vocabulary) const;

 private:
  void check_from();
  bool from_decoder_ = false;
};

// Low-rank adapters instead of the model's own parameters.
struct LoraConfig {
  std::int64_t rank = 0;
  double alpha = 16;
  std::vector<std::string> modules;

  void describe(Schema& schema);
  // Throws Error(usage).
  void check(const ModelConfig& model) const;
};

struct TrainConfig {
  std::string dataset, separator;
  ModelConfig model;
  LoraConfig lora;
  std::int64_t steps = 1000, global_batch = 256, micro_batch = 64, leaf_size = 0, seed = 1;
  double budget_seconds = 0;
  std::optional<bool> recompute;  // nothing: with adapters
  std::string dtype = "auto", schedule = "cosine";
  double learning_rate = 1e-3, final_rate = 0.05, decay_share = 0.2;
  double temperature = 0.05, span_share = 0, label_smoothing = 0, z_loss = 0, dropout = 0;
  std::int64_t warmup_steps = 20, give_up_after = 10;
  std::int64_t spike_window = 100;
  double spike_deviations = 6;
  std::int64_t evaluate_every = 0, evaluate_sequences = 64;
  std::int64_t recall_k = 10, recall_queries = 1000, recall_passages = 2000;
  std::string sts;
  std::string reduce = "exact";
  double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-8, weight_decay = 0.01, clip_norm = 1.0;
  double average_decay = 0;
  ParameterPatterns patterns;
  CheckpointOptions checkpoint;
  double log_every = 10;

  void describe(Schema& schema);
  // Throws Error as ModelConfig::check() does.
  void check();

  bool recomputes() const { return recompute.value_or(lora.rank > 0); }
  // Samples of a piece in which sums are ordered.
  std::int64_t leaf() const { return leaf_size > 0 ? leaf_size : micro_batch; }
  // Throws Error as rules_by_name() does.
  OptimizerOptions optimizer_options(const ArenaLayout& layout) const;
  // The learning rate of a step, where the run has `steps`: a linear warm-up, then the schedule.
  double learning_rate_at(std::int64_t step, std::int64_t steps) const;
};

}  // namespace tutti
