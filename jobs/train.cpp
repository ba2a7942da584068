// train: an encoder or a language model on a dataset of documents.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "jobs/contrastive_task.h"
#include "jobs/decoder_source.h"
#include "jobs/job.h"
#include "jobs/language_task.h"
#include "jobs/loss_watch.h"
#include "jobs/roofline.h"
#include "jobs/run_checkpoints.h"
#include "jobs/train_config.h"
#include "jobs/trained_model.h"
#include "kernels/device/device_backend.h"
#include "runtime/base/log.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/data/sequences.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// With a budget, the number of steps follows from the time that these took; caches are warm after
// the first ones.
constexpr std::int64_t kFirstTimedStep = 2, kLastTimedStep = 8;

class TrainRun {
 public:
  TrainRun(JobContext& context, const TrainConfig& config, const Dataset& dataset, DType compute)
      : context_(context),
        comm_(context.comm),
        config_(config),
        dataset_(dataset),
        task_(config.model.is_decoder()
                  ? make_language_task(comm_, config, dataset, compute, context.phases,
                                       context.device)
                  : make_contrastive_task(comm_, config, dataset, compute, context.phases)),
        checkpoints_(context, config.checkpoint, "step"),
        total_steps_(config.steps),
        loss_watch_(config.spike_window, config.spike_deviations) {
    // Ranks without samples must know them, too.
    for (const char* phase :
         {"load", "forward", "backward", "reduce", "optimizer", "checkpoint", "evaluate"})
      (void)context.phases.measure(phase);
  }

  ExitCode run() {
    restore();
    context_.events.write("ready", {{"from", step_}, {"of", total_steps_}});
    start_ = Clock::now();
    context_.result["seconds_to_first_step"] = context_.phases.total_seconds();
    while (step_ < total_steps_) {
      if (checkpoints_.boundary([&] { return snapshot(); })) {
        checkpoints_.report();
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
    nlohmann::json all = {
        {"dataset", dataset_.manifest().digest},
        {"model", task_->model_metadata()},
        {"train.dtype", name_of(task_->compute())},
        {"train.steps", c.steps},
        {"train.seed", c.seed},
        {"train.reduce", c.reduce},
        {"batch.global", c.global_batch},
        {"batch.micro", c.micro_batch},
        {"optimizer",
         {c.schedule, c.learning_rate, c.final_rate, c.decay_share, double(c.warmup_steps), c.beta1,
          c.beta2, c.epsilon, c.weight_decay, c.clip_norm}},
        {"train.freeze", c.patterns.freeze},
        {"optimizer.decay", c.patterns.decay},
        {"optimizer.ema", c.average_decay}};
    all.update(task_->identity());
    return all;
  }

  void restore() {
    if (const auto state = checkpoints_.restore(identity(), task_->optimizer().my_slices())) {
      task_->optimizer().slices_restored();
      step_ = state->at("step");
      total_steps_ = state->at("total_steps");
      steps_fixed_ = state->at("steps_fixed");
      loss_watch_.restore(state->at("loss_watch"));
    } else {
      const auto timed = context_.phases.measure("load");
      task_->initialize();
      task_->optimizer().start_average();
    }
    const auto timed = context_.phases.measure("load");
    task_->parameters_changed();
    if (step_ < total_steps_) roofline_ = roofline();
  }

  double roofline() {
    if (context_.device == nullptr) return product_rate_of_all_ranks(comm_, task_->compute());
    return context_.device->product_rate(task_->compute()) * comm_.size();
  }

  Snapshot snapshot() {
    return {task_->optimizer().my_slices(),
            {{"step", step_},
             {"total_steps", total_steps_},
             {"steps_fixed", steps_fixed_},
             {"loss_watch", loss_watch_.state()},
             {"model", to_json(trained_model())}},
            identity()};
  }

  TrainedModel trained_model() const {
    nlohmann::json about = {{"dataset_digest", dataset_.manifest().digest}};
    if (config_.lora.rank > 0)
      about[kAdaptersKey]["base_folder"] =
          std::filesystem::absolute(config_.model.from).lexically_normal().string();
    if (config_.average_decay > 0) about["ema"] = config_.average_decay;
    return {about, task_->layout(), ShardedOptimizer::saved_array(config_.average_decay),
            std::filesystem::absolute(dataset_.folder()).lexically_normal(),
            *dataset_.manifest().find_file(kTokenizerFile)};
  }

  void one_step() {
    const auto start = Clock::now();
    comm_.set_step(step_);
    const StepResult result = task_->step(step_, config_.learning_rate_at(step_, total_steps_));
    ++step_;
    ++steps_here_;
    if (result.applied) {
      skipped_in_a_row_ = 0;
      watch(result.loss);
    } else {
      skip(result);
    }
    report(result, seconds_since(start));
    if (config_.evaluate_every > 0 && step_ % config_.evaluate_every == 0 && step_ < total_steps_)
      evaluate_what_is_saved();
    fix_steps();
  }

  // The moving average takes the parameters' place, or gives it back.
  void swap_average() {
    if (config_.average_decay == 0) return;
    task_->optimizer().swap_average();
    task_->parameters_changed();
  }

  void evaluate_what_is_saved() {
    swap_average();
    evaluate();
    swap_average();
  }

  // Figures on what is held out, for the record; null where there are none.
  nlohmann::json evaluate() {
    nlohmann::json figures = task_->evaluate();
    if (figures.is_null()) return figures;
    std::string line;
    for (const auto& [name, value] : figures.items())
      line += fmt::format("  {} {:.4f}", name, value.get<double>());
    log_info("after step {}:{}", step_, line);
    nlohmann::json event = figures;
    event["step"] = step_;
    context_.events.write("evaluation", event);
    return figures;
  }

  void watch(double loss) {
    const auto limit = loss_watch_.limit_exceeded(loss);
    if (!limit) return;
    log_info("step {}: loss {:.4f} stands out from those of the last {}, which allow for {:.4f}",
             step_, loss, config_.spike_window, *limit);
    context_.events.write("spike", {{"step", step_ - 1},
                                    {"loss", loss},
                                    {"limit", *limit},
                                    {"samples", task_->samples(step_ - 1)}});
  }

  void skip(const StepResult& result) {
    ++skipped_;
    log_info("step {} skipped: loss {} or gradient norm {} is not finite", step_ - 1, result.loss,
             result.gradient_norm);
    context_.events.write("skipped", {{"step", step_ - 1}, {"samples", task_->samples(step_ - 1)}});
    if (++skipped_in_a_row_ < config_.give_up_after) return;
    throw Error(ExitCode::data, fmt::format("{} steps in a row were not finite", skipped_in_a_row_),
                fmt::format("step {}", step_ - 1),
                "lower optimizer.learning_rate; the samples are in events.jsonl, the last "
                "checkpoint is from before")
        .as_agreed();
  }

  void report(const StepResult& result, double seconds) {
    tokens_ += result.tokens;
    last_loss_ = result.loss;
    const double rate = double(result.tokens) / seconds;
    const double share = task_->product_flops(result.tokens) / seconds / roofline_;
    context_.events.write("step", {{"step", step_},
                                   {"steps", total_steps_},
                                   {"loss", result.loss},
                                   {"gradient_norm", result.gradient_norm},
                                   {"tokens_per_second", std::round(rate)},
                                   {"roofline_share", std::round(share * 1000) / 1000}});
    if (steps_here_ > 1 && step_ < total_steps_ && seconds_since(last_line_) < config_.log_every)
      return;
    last_line_ = Clock::now();
    const bool open_end = config_.budget_seconds > 0 && !steps_fixed_;
    const double left =
        open_end ? std::max(0.0, config_.budget_seconds - seconds_since(start_))
                 : double(total_steps_ - step_) * seconds_since(start_) / double(steps_here_);
    log_info(
        "step {}/{}  loss {:.4f}  gradient norm {:.3f}  {:.0f} tokens/s  {:.0f}% of the roofline  "
        "{:.0f} s left",
        step_, open_end ? "?" : std::to_string(total_steps_), result.loss, result.gradient_norm,
        rate, 100 * share, left);
  }

  // Once enough steps are timed, lowers the number of steps to what the budget allows, for all
  // ranks and restarts.
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
    log_info("{:.2f} s a step: {} steps fit the budget of {:.0f} s", each, total_steps_,
             config_.budget_seconds);
  }

  void finish() {
    if (steps_here_ > 0) checkpoints_.save(snapshot());
    checkpoints_.report();
    swap_average();
    if (const nlohmann::json figures = evaluate(); !figures.is_null())
      context_.result.update(figures);
    task_->optimizer().make_whole();
    const auto timed = context_.phases.measure("save");
    const Manifest model =
        save_model(comm_, context_.run_folder, task_->layout(),
                   task_->optimizer().host_parameters(), dataset_.folder() / kTokenizerFile,
                   model_metadata_of(task_->model_metadata(), trained_model().about, total_steps_));
    context_.events.write("saved", {{"model_digest", model.digest}});
    context_.result.update({{"model_digest", model.digest},
                            {"steps", total_steps_},
                            {"loss", last_loss_},
                            {"skipped_steps", skipped_},
                            {"loss_spikes", loss_watch_.spikes()},
                            {"tokens_this_start", tokens_},
                            {"parameters", task_->layout().used_size()},
                            {"compute_dtype", name_of(task_->compute())}});
    log_info("model {} of {} parameters in {}", model.digest, task_->layout().used_size(),
             context_.run_folder.string());
  }

  JobContext& context_;
  Comm& comm_;
  const TrainConfig& config_;
  const Dataset& dataset_;
  std::unique_ptr<TrainTask> task_;
  RunCheckpoints checkpoints_;
  std::int64_t step_ = 0, total_steps_;
  LossWatch loss_watch_;
  bool steps_fixed_ = false;
  double roofline_ = 1;  // floating-point operations a second of all ranks' products
  Clock::time_point start_, last_line_, timed_from_;
  std::int64_t steps_here_ = 0, tokens_ = 0, skipped_ = 0, skipped_in_a_row_ = 0;
  double last_loss_ = 0;
};

class TrainJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }
  bool runs_on_device() const override { return true; }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] { config_.check(); });
    std::optional<Dataset> dataset;
    context.comm.attempt([&] {
      dataset.emplace(Dataset::open(config_.dataset, kDatasetKind));
      if (!dataset->manifest().find_file(kTokenizerFile))
        throw Error(ExitCode::data, "the dataset has no tokenizer", config_.dataset,
                    "shard it from text");
    });
    if (context.device != nullptr && !config_.model.is_decoder())
      throw Error(ExitCode::unavailable,
                  "device = \"cuda\", but encoders are trained on CPUs alone", "device",
                  "use device = \"cpu\"")
          .as_agreed();
    check_tokens(context.comm, *dataset);
    const bool on_tensor_cores = context.device != nullptr && config_.dtype == "auto";
    const DType compute = on_tensor_cores ? DType::bf16 : compute_type(context.comm, config_.dtype);
    if (context.dry_run) {
      log_info("{} documents; {} steps of {} samples in {}", dataset->rows("documents"),
               config_.steps, config_.global_batch, name_of(compute));
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
