#include "jobs/contrastive_task.h"

#include <optional>

#include <fmt/format.h>

#include "jobs/hugging_face_model.h"
#include "jobs/retrieval_recall.h"
#include "jobs/sentence_similarity.h"
#include "runtime/base/log.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

// The model that training starts from.
struct StartEncoder {
  Manifest manifest;
  EncoderShape shape;
  TextForm form;
};

// Nothing where the parameters start at random. Collective.
std::optional<StartEncoder> open_start(Comm& comm, const ModelConfig& config,
                                       const Dataset& dataset) {
  if (config.from.empty()) return std::nullopt;
  StartEncoder start;
  comm.attempt([&] {
    start.manifest = load_manifest(config.from, kModelKind);
    start.shape = encoder_shape_of(start.manifest, config.from);
    start.form = text_form_of(start.manifest, start.shape, config.from);
    const TextForm trained{config.max_tokens, start.form.frame};
    if (config.max_tokens > start.shape.max_tokens || trained.room() < 1)
      throw Error(ExitCode::usage,
                  fmt::format("sequences of {} tokens do not fit the model, which takes {}, and {} "
                              "of them around the text",
                              config.max_tokens, start.shape.max_tokens,
                              config.max_tokens - trained.room()),
                  "model.max_tokens", "choose it between the two");
  });
  check_tokenizer(comm, start.manifest, dataset.manifest());
  return start;
}

class ContrastiveTask : public TrainTask {
 public:
  ContrastiveTask(Comm& comm, const TrainConfig& config, const Dataset& dataset, DType compute,
                  PhaseTimer& phases)
      : comm_(comm),
        config_(config),
        dataset_(dataset),
        phases_(phases),
        start_(open_start(comm, config.model, dataset)),
        loader_(dataset, {std::uint64_t(config.seed),
                          {config.model.max_tokens, start_ ? start_->form.frame : TokenFrame()},
                          config.span_share}),
        encoder_(start_ ? start_->shape : config.model.encoder(vocabulary_of(dataset)), compute),
        optimizer_(make_sharded_optimizer(comm, encoder_.layout(),
                                          config.global_batch / config.micro_batch,
                                          config.optimizer_options(encoder_.layout()), phases)),
        trainer_(comm, encoder_, *optimizer_,
                 {config.global_batch, config.micro_batch, float(config.temperature)}, phases) {
    encoder_.recompute_activations(config.recomputes());
    if (config.steps > 0 && loader_.documents() < config.global_batch)
      throw Error(
          ExitCode::usage,
          fmt::format("a batch of {} pairs needs as many documents; the dataset has {} to train on",
                      config.global_batch, loader_.documents()),
          "batch.global", "lower batch.global, or shard more documents")
          .as_agreed();
    if (config.recall_k > 0) open_heldout();
    if (!config.sts.empty()) open_pairs();
  }

  const ArenaLayout& layout() const override { return encoder_.layout(); }
  ShardedOptimizer& optimizer() override { return *optimizer_; }
  DType compute() const override { return encoder_.compute(); }
  void initialize() override {
    if (!start_) return encoder_.initialize(optimizer_->parameters(), std::uint64_t(config_.seed));
    comm_.attempt([&] {
      tutti::load_parameters(config_.model.from, start_->manifest, layout(),
                             optimizer_->parameters());
    });
  }
  void parameters_changed() override { encoder_.load_parameters(optimizer_->parameters()); }

  StepResult step(std::int64_t step, double learning_rate) override {
    std::vector<Sequences> micro_batches;
    {
      const auto timed = phases_.measure("load");
      const Range leaves = optimizer_->my_leaves();
      const std::int64_t m = config_.micro_batch;
      comm_.attempt([&] {
        for (std::int64_t leaf = leaves.begin; leaf < leaves.end; ++leaf)
          micro_batches.push_back(
              loader_.load(step, config_.global_batch, {leaf * m, (leaf + 1) * m}));
      });
    }
    return trainer_.step(micro_batches, step, learning_rate);
  }

  // As the evaluate job measures the model that is saved.
  nlohmann::json evaluate() override {
    if (!heldout_ && !similarity_) return {};
    const auto timed = phases_.measure("evaluate");
    const TextForm form = saved_form();
    nlohmann::json figures;
    if (heldout_) figures["heldout_recall"] = heldout_->recall(heldout_->embed(encoder_, form));
    if (similarity_) figures["sts_spearman"] = similarity_->correlation(comm_, encoder_);
    return figures;
  }

  std::vector<std::int64_t> samples(std::int64_t step) const override {
    return loader_.document_rows(step, config_.global_batch, {0, config_.global_batch});
  }

  nlohmann::json identity() const override {
    nlohmann::json all = {{"train.temperature", config_.temperature},
                          {"train.span_share", config_.span_share}};
    if (start_) all["model.max_tokens"] = config_.model.max_tokens;
    return all;
  }
  nlohmann::json model_metadata() const override {
    nlohmann::json metadata = {{"architecture", "encoder"},
                               {"shape", encoder_metadata(encoder_.shape())}};
    if (!start_) return metadata;
    metadata["from_digest"] = start_->manifest.digest;
    for (const char* key : {kTextKey, kHuggingFaceKey})
      if (start_->manifest.metadata.contains(key)) metadata[key] = start_->manifest.metadata[key];
    return metadata;
  }
  // The first forward pass, a third of what product_flops() counts, comes on top of the second with
  // its backward pass.
  double product_flops(std::int64_t tokens) const override {
    return 4.0 / 3 * double(encoder_.product_flops(tokens));
  }

 private:
  // How those who use the model will give it texts, however short the ones that it is trained on.
  TextForm saved_form() const {
    return start_ ? start_->form : TextForm{config_.model.max_tokens, {}};
  }

  // Nothing is measured where no held-out document has a query.
  void open_heldout() {
    heldout_.emplace(
        comm_, dataset_,
        RecallOptions{config_.recall_k, config_.recall_queries, config_.recall_passages,
                      config_.micro_batch, std::uint64_t(config_.seed)});
    if (heldout_->queries() == 0) return heldout_.reset();
    log_info(
        "recall is measured by {} queries of held-out documents, in {} documents of {} passages",
        heldout_->queries(), heldout_->documents(), heldout_->passages());
  }

  void open_pairs() {
    comm_.attempt([&] {
      similarity_.emplace(read_sentence_pairs(config_.sts),
                          Tokenizer::from_file(dataset_.folder() / kTokenizerFile), saved_form(),
                          config_.micro_batch);
    });
  }

  Comm& comm_;
  const TrainConfig& config_;
  const Dataset& dataset_;
  PhaseTimer& phases_;
  std::optional<StartEncoder> start_;
  PairLoader loader_;
  Encoder encoder_;
  std::unique_ptr<ShardedOptimizer> optimizer_;
  ContrastiveTrainer trainer_;
  std::optional<RetrievalPool> heldout_;
  std::optional<SentenceSimilarity> similarity_;
};

}  // namespace

std::unique_ptr<TrainTask> make_contrastive_task(Comm& comm, const TrainConfig& config,
                                                 const Dataset& dataset, DType compute,
                                                 PhaseTimer& phases) {
  return std::make_unique<ContrastiveTask>(comm, config, dataset, compute, phases);
}

}  // namespace tutti
