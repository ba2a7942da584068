// train: contrastive training of a text encoder on a dataset of documents.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "jobs/contrastive_step.h"
#include "jobs/encoder_model.h"
#include "jobs/job.h"
#include "jobs/roofline.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct TrainConfig {
  std::string dataset;
  EncoderConfig model;
  std::int64_t steps = 1000, global_batch = 256, micro_batch = 64, seed = 1;
  double budget_seconds = 0;
  std::string dtype = "auto";
  double learning_rate = 1e-3, final_rate = 0.05, temperature = 0.05, span_share = 0;
  std::int64_t warmup_steps = 20, give_up_after = 10;
  double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-8, weight_decay = 0.01, clip_norm = 1.0;
  CheckpointOptions checkpoint;
  double log_every = 10;

  void describe(Schema& s) {
    s.key("dataset", &dataset, "folder of a text dataset, as the shard job leaves it");
    s.require("dataset");
    model.describe(s);
    s.key("train.steps", &steps, "steps", "optimizer updates; 0 leaves an untrained model");
    s.duration("train.budget", &budget_seconds,
               "time to train for: lowers train.steps, once, after the first steps have been timed; 0: no limit");
    s.key("train.seed", &seed, "", "all randomness follows from it");
    s.choice("train.dtype", &dtype, {"auto", "bf16", "f32"},
             "type of the products; auto: bf16 where the processor multiplies it, else f32");
    s.key("train.temperature", &temperature, "", "divides the similarities in the loss");
    s.key("train.span_share", &span_share, "",
          "share of pairs whose query is a run of words out of another passage of the document");
    s.key("train.give_up_after", &give_up_after, "steps", "end with code 65 after so many non-finite steps in a row");
    s.key("batch.global", &global_batch, "pairs", "pairs of an update; every other passage of them is a negative");
    s.key("batch.micro", &micro_batch, "pairs", "pairs that run at a time; the piece in which sums are ordered");
    s.key("optimizer.learning_rate", &learning_rate, "", "the highest, after the warm-up");
    s.key("optimizer.final_rate", &final_rate, "", "the last learning rate, as a share of the highest");
    s.key("optimizer.warmup_steps", &warmup_steps, "steps", "steps of linear warm-up; a cosine follows");
    s.key("optimizer.beta1", &beta1, "", "decay of AdamW's first moment");
    s.key("optimizer.beta2", &beta2, "", "decay of AdamW's second moment");
    s.key("optimizer.epsilon", &epsilon, "", "AdamW's epsilon");
    s.key("optimizer.weight_decay", &weight_decay, "", "decoupled weight decay of matrices");
    s.key("optimizer.clip_norm", &clip_norm, "", "largest norm of the whole gradient; 0: no clipping");
    s.duration("checkpoint.every", &checkpoint.every_seconds, "time between checkpoints");
    s.key("checkpoint.keep", &checkpoint.keep, "generations", "newest checkpoints to keep");
    s.duration("log.every", &log_every, "time between progress lines");
  }

  void check() const {
    const auto wrong = [](const std::string& what, const char* key, const char* fix) {
      throw Error(ExitCode::usage, what, key, fix);
    };
    if (steps < 0) wrong("train.steps is negative", "train.steps", "give 0 or more");
    if (micro_batch < 1 || global_batch < 2) wrong("a batch is too small", "batch.*", "use batch.global >= 2");
    if (global_batch % micro_batch)
      wrong("batch.global is no multiple of batch.micro", "batch.global", "choose a multiple");
    if (temperature <= 0) wrong("the temperature must be positive", "train.temperature", "0.05 is usual");
    if (span_share < 0 || span_share > 1) wrong("a share is between 0 and 1", "train.span_share", "");
    if (warmup_steps < 0 || give_up_after < 1 || checkpoint.keep < 1) wrong("a count is too small", "configuration", "");
    model.check();
  }
};

// Linear warm-up, then a cosine down to a share of the highest rate.
double learning_rate_at(const TrainConfig& c, std::int64_t step, std::int64_t steps) {
  if (step < c.warmup_steps) return c.learning_rate * double(step + 1) / double(c.warmup_steps);
  const double done = double(step - c.warmup_steps) / double(std::max<std::int64_t>(1, steps - c.warmup_steps));
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(done, 1.0)));
  return c.learning_rate * (c.final_rate + (1 - c.final_rate) * cosine);
}

// With a budget, the number of steps follows from the time that these took; caches are warm after the first ones.
constexpr std::int64_t kFirstTimedStep = 2, kLastTimedStep = 8;

ContrastiveOptions contrastive_options(const TrainConfig& c) {
  ContrastiveOptions o;
  o.global_batch = c.global_batch;
  o.micro_batch = c.micro_batch;
  o.temperature = float(c.temperature);
  o.adamw.beta1 = float(c.beta1);
  o.adamw.beta2 = float(c.beta2);
  o.adamw.epsilon = float(c.epsilon);
  o.adamw.weight_decay = float(c.weight_decay);
  o.clip_norm = c.clip_norm;
  return o;
}

class TrainRun {
 public:
  TrainRun(JobContext& context, const TrainConfig& config, const Dataset& dataset, DType compute)
      : context_(context),
        comm_(context.comm),
        config_(config),
        dataset_(dataset),
        loader_(dataset, {std::uint64_t(config.seed), config.model.max_tokens, config.span_share}),
        encoder_(config.model.shape(vocabulary_of(dataset)), compute),
        trainer_(comm_, encoder_, contrastive_options(config), context.phases),
        checkpoints_(comm_, context.run_folder / kCheckpointFolder, config.checkpoint),
        total_steps_(config.steps) {
    if (config.steps > 0 && loader_.documents() < config.global_batch)
      throw Error(ExitCode::usage,
                  fmt::format("a batch of {} pairs needs as many documents; the dataset has {} to train on",
                              config.global_batch, loader_.documents()),
                  "batch.global", "lower batch.global, or shard more documents")
          .as_agreed();
  }

  ExitCode run() {
    checkpoints_.on_commit([&](std::int64_t generation, const nlohmann::json& state) {
      context_.events.write("checkpoint", {{"generation", generation}, {"step", state.at("step")}});
    });
    restore();
    start_ = Clock::now();
    context_.result["seconds_to_first_step"] = context_.phases.total_seconds();
    while (step_ < total_steps_) {
      if (boundary()) {
        log_info("checkpoint generation {} at step {} of {}", checkpoints_.generation(), step_, total_steps_);
        return ExitCode::stopped;
      }
      one_step();
    }
    finish();
    return ExitCode::done;
  }

 private:
  // What the trajectory follows from: a checkpoint is only good for the same.
  nlohmann::json identity() const {
    const TrainConfig& c = config_;
    return {{"dataset", dataset_.manifest().digest},
            {"model", encoder_metadata(encoder_.shape())},
            {"train.dtype", name_of(encoder_.compute())},
            {"train.steps", c.steps},
            {"train.seed", c.seed},
            {"train.temperature", c.temperature},
            {"train.span_share", c.span_share},
            {"batch.global", c.global_batch},
            {"batch.micro", c.micro_batch},
            {"optimizer", {c.learning_rate, c.final_rate, double(c.warmup_steps), c.beta1, c.beta2, c.epsilon,
                           c.weight_decay, c.clip_norm}}};
  }

  std::vector<ArraySlice> slices(Range parameters) {
    const std::int64_t size = encoder_.layout().padded_size();
    const Range mine = trainer_.my_slice();
    return {slice_of("parameters", size, parameters,
                     trainer_.parameters().subspan(std::size_t(parameters.begin), std::size_t(parameters.size()))),
            slice_of("first_moment", size, mine, trainer_.first_moment()),
            slice_of("second_moment", size, mine, trainer_.second_moment())};
  }

  void restore() {
    const auto timed = context_.phases.measure("load");
    if (const auto state = checkpoints_.restore(identity(), slices({0, encoder_.layout().padded_size()}))) {
      step_ = state->at("step");
      total_steps_ = state->at("total_steps");
      steps_fixed_ = state->at("steps_fixed");
      log_info("resumed from checkpoint generation {} at step {} of {}", checkpoints_.generation(), step_, total_steps_);
      context_.events.write("restore", {{"generation", checkpoints_.generation()}, {"step", step_}});
    } else {
      encoder_.initialize(trainer_.parameters(), std::uint64_t(config_.seed));
    }
    trainer_.parameters_changed();
    if (step_ < total_steps_) roofline_ = double(comm_.size()) * measure_product_rate(encoder_.compute());
  }

  Snapshot snapshot() {
    return {slices(trainer_.my_slice()),
            {{"step", step_}, {"total_steps", total_steps_}, {"steps_fixed", steps_fixed_}},
            identity()};
  }

  // Returns whether to stop; a checkpoint is then there.
  bool boundary() {
    const auto timed = context_.phases.measure("checkpoint");
    return checkpoints_.boundary(stop_requested(), [&] { return snapshot(); });
  }

  void one_step() {
    const auto start = Clock::now();
    comm_.set_step(step_);
    std::vector<Sequences> micro_batches;
    {
      const auto timed = context_.phases.measure("load");
      const Range leaves = trainer_.my_leaves();
      comm_.attempt([&] {
        for (std::int64_t leaf = leaves.begin; leaf < leaves.end; ++leaf)
          micro_batches.push_back(loader_.load(step_, config_.global_batch,
                                               {leaf * config_.micro_batch, (leaf + 1) * config_.micro_batch}));
      });
    }
    const StepResult result = trainer_.step(micro_batches, step_, learning_rate_at(config_, step_, total_steps_));
    ++step_;
    ++steps_here_;
    if (result.applied) skipped_in_a_row_ = 0;
    else skip(result);
    report(result, seconds_since(start));
    fix_steps();
  }

  void skip(const StepResult& result) {
    ++skipped_;
    log_info("step {} skipped: loss {} or gradient norm {} is not finite", step_ - 1, result.loss, result.gradient_norm);
    context_.events.write("skipped", {{"step", step_ - 1},
                                      {"documents", loader_.document_rows(step_ - 1, config_.global_batch,
                                                                          {0, config_.global_batch})}});
    if (++skipped_in_a_row_ < config_.give_up_after) return;
    throw Error(ExitCode::data, fmt::format("{} steps in a row were not finite", skipped_in_a_row_),
                fmt::format("step {}", step_ - 1),
                "lower optimizer.learning_rate; the documents are in events.jsonl, the last checkpoint is from before")
        .as_agreed();
  }

  void report(const StepResult& result, double seconds) {
    tokens_ += result.tokens;
    last_loss_ = result.loss;
    const double rate = double(result.tokens) / seconds;
    // The first forward, a third of what product_flops() counts, comes on top of the second with its backward pass.
    const double share = 4.0 / 3 * double(encoder_.product_flops(result.tokens)) / seconds / roofline_;
    context_.events.write("step", {{"step", step_},
                                   {"steps", total_steps_},
                                   {"loss", result.loss},
                                   {"gradient_norm", result.gradient_norm},
                                   {"tokens_per_second", std::round(rate)},
                                   {"roofline_share", std::round(share * 1000) / 1000}});
    if (steps_here_ > 1 && step_ < total_steps_ && seconds_since(last_line_) < config_.log_every) return;
    last_line_ = Clock::now();
    const bool open_end = config_.budget_seconds > 0 && !steps_fixed_;
    const double left = open_end ? std::max(0.0, config_.budget_seconds - seconds_since(start_))
                                 : double(total_steps_ - step_) * seconds_since(start_) / double(steps_here_);
    log_info("step {}/{}  loss {:.4f}  gradient norm {:.3f}  {:.0f} tokens/s  {:.0f}% of the roofline  {:.0f} s left",
             step_, open_end ? "?" : std::to_string(total_steps_), result.loss, result.gradient_norm, rate, 100 * share,
             left);
  }

  // Once enough steps are timed, lowers the number of steps to what the budget allows, for all ranks and restarts.
  void fix_steps() {
    if (config_.budget_seconds <= 0 || steps_fixed_) return;
    if (steps_here_ == kFirstTimedStep) timed_from_ = Clock::now();
    if (steps_here_ != kLastTimedStep) return;
    const double each = seconds_since(timed_from_) / double(kLastTimedStep - kFirstTimedStep);
    const double left = config_.budget_seconds - seconds_since(start_);
    std::int64_t steps = step_ + std::max<std::int64_t>(1, std::int64_t(left / each));
    steps = std::min(steps, config_.steps);
    comm_.broadcast(std::span(&steps, 1));
    total_steps_ = steps;
    steps_fixed_ = true;
    log_info("{:.2f} s a step: {} steps fit the budget of {:.0f} s", each, total_steps_, config_.budget_seconds);
  }

  void finish() {
    if (steps_here_ > 0) {
      const auto timed = context_.phases.measure("checkpoint");
      checkpoints_.save(snapshot());
    }
    const auto timed = context_.phases.measure("save");
    const nlohmann::json metadata = {{"architecture", "encoder"},
                                     {"shape", encoder_metadata(encoder_.shape())},
                                     {"steps", total_steps_},
                                     {"dataset_digest", dataset_.manifest().digest}};
    const Manifest model = save_model(comm_, context_.run_folder, encoder_.layout(), trainer_.parameters(),
                                      dataset_.folder() / kTokenizerFile, metadata);
    context_.result.update({{"model_digest", model.digest},
                            {"steps", total_steps_},
                            {"loss", last_loss_},
                            {"skipped_steps", skipped_},
                            {"tokens_this_start", tokens_},
                            {"parameters", encoder_.layout().used_size()},
                            {"compute_dtype", name_of(encoder_.compute())}});
    log_info("model {} of {} parameters in {}", model.digest, encoder_.layout().used_size(),
             context_.run_folder.string());
  }

  JobContext& context_;
  Comm& comm_;
  const TrainConfig& config_;
  const Dataset& dataset_;
  PairLoader loader_;
  Encoder encoder_;
  ContrastiveTrainer trainer_;
  Checkpointer checkpoints_;
  std::int64_t step_ = 0, total_steps_;
  bool steps_fixed_ = false;
  double roofline_ = 1;  // floating-point operations a second of all ranks' products
  Clock::time_point start_, last_line_, timed_from_;
  std::int64_t steps_here_ = 0, tokens_ = 0, skipped_ = 0, skipped_in_a_row_ = 0;
  double last_loss_ = 0;
};

class TrainJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] { config_.check(); });
    std::optional<Dataset> dataset;
    context.comm.attempt([&] { dataset.emplace(Dataset::open(config_.dataset, kDatasetKind)); });
    const DType compute = compute_type(context.comm, config_.dtype);
    if (context.dry_run) {
      log_info("{} documents; {} steps of {} pairs in {}", dataset->rows("documents"), config_.steps,
               config_.global_batch, name_of(compute));
      return ExitCode::done;
    }
    return TrainRun(context, config_, *dataset, compute).run();
  }

 private:
  TrainConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_train_job() { return std::make_unique<TrainJob>(); }

}  // namespace tutti
