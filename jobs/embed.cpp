// embed: every passage of a dataset as a vector.
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "jobs/encoder_model.h"
#include "jobs/finished_shards.h"
#include "jobs/job.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"
#include "runtime/data/sequences.h"
#include "runtime/data/shard_writer.h"
#include "runtime/io/digest.h"

namespace tutti {
namespace {

// Ranks meet after so many seconds: a failure or a wish to stop on one reaches all.
constexpr double kRoundSeconds = 3;

struct EmbedConfig {
  std::string dataset, model, dtype = "auto";
  std::int64_t block = 128;

  void describe(Schema& s) {
    s.key("dataset", &dataset, "folder of a text dataset, as the shard job leaves it");
    s.require("dataset");
    s.key("model", &model, "folder of a model, as the train job leaves it");
    s.require("model");
    s.choice("embed.dtype", &dtype, {"auto", "bf16", "f32"},
             "type of the products; auto: bf16 where the processor multiplies it, else f32");
    s.key("embed.block", &block, "passages", "passages that run at a time");
  }
};

class EmbedRun {
 public:
  EmbedRun(JobContext& context, const EmbedConfig& config, const Dataset& dataset,
           LoadedEncoder model)
      : context_(context),
        comm_(context.comm),
        config_(config),
        dataset_(dataset),
        model_(std::move(model)),
        tokens_(dataset.column("passages", "tokens")),
        table_{"vectors",
               {ColumnSchema::vector("vector", DType::f32, model_.encoder->shape().width),
                ColumnSchema::scalar("id", DType::i64)}},
        finished_(comm_, context.run_folder,
                  part_of(dataset.manifest().shards(), comm_.size(), comm_.rank()), key()) {
    for (const char* phase : {"load", "forward", "write", "commit"})
      (void)context.phases.measure(phase);  // ranks without shards must know them, too
  }

  ExitCode run() {
    if (finished_.kept_by_all() > 0)
      log_info("{} of {} shards are finished already", finished_.kept_by_all(),
               dataset_.manifest().shards());
    while (true) {
      comm_.attempt([&] { work_for(kRoundSeconds); });
      std::array<std::int64_t, 2> open = {writer_ || finished_.local_next() >= 0, stop_requested()};
      comm_.all_reduce_sum(std::span(open));
      if (!open[0]) break;
      if (open[1]) return ExitCode::stopped;
    }
    commit();
    return ExitCode::done;
  }

 private:
  void commit() {
    ArtefactParts parts;
    parts.shards = finished_.records();
    const double seconds = context_.phases.total_seconds();
    const nlohmann::json metadata = {
        {"metric", "cosine"},
        {"dimension", model_.encoder->shape().width},
        {"dataset", std::filesystem::absolute(config_.dataset).lexically_normal().string()},
        {"dataset_digest", dataset_.manifest().digest},
        {"model_digest", model_.manifest.digest}};
    const auto timed = context_.phases.measure("commit");
    const Manifest vectors =
        commit_artefact(comm_, context_.run_folder, {kVectorsKind, {table_}, metadata}, parts);
    finished_.forget();
    const std::int64_t tokens = comm_.all_reduce_sum(embedded_tokens_);
    context_.result.update({{"vectors", dataset_.rows("passages")},
                            {"tokens", tokens},
                            {"tokens_per_second", double(tokens) / seconds},
                            {"vectors_digest", vectors.digest},
                            {"model_digest", model_.manifest.digest}});
    log_info("{} vectors of {} dimensions, {:.0f} tokens/s, digest {}", dataset_.rows("passages"),
             model_.encoder->shape().width, double(tokens) / seconds, vectors.digest);
  }

  // All that a shard of vectors follows from.
  std::string key() const {
    return digest_of(nlohmann::json{
        {"dataset", dataset_.manifest().digest},
        {"model", model_.manifest.digest},
        {"compute", name_of(model_.encoder->compute())},
        {"block",
         config_.block}}.dump());
  }

  // Embeds for so many seconds, or to the end of this rank's shards.
  void work_for(double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (Clock::now() < end && !stop_requested()) {
      if (!writer_ && !start_next()) return;
      if (next_row_ < rows_.end) {
        embed_block({next_row_, std::min(rows_.end, next_row_ + config_.block)});
        next_row_ += config_.block;
      }
      if (next_row_ >= rows_.end) finish_shard();
    }
  }

  // Blocks start anew in every shard: a vector's bytes follow from its shard alone, never from who
  // embeds it.
  bool start_next() {
    const std::int64_t shard = finished_.local_next();
    if (shard < 0) return false;
    rows_ = dataset_.shard_rows("passages", shard);
    next_row_ = rows_.begin;
    writer_.emplace(context_.run_folder, shard, std::vector{table_}, std::vector{rows_.size()});
    return true;
  }

  void finish_shard() {
    const auto timed = context_.phases.measure("write");
    finished_.local_add({writer_->finish(), {.records = rows_.size()}});
    writer_.reset();
  }

  void embed_block(Range rows) {
    Sequences passages;
    {
      const auto timed = context_.phases.measure("load");
      append_rows(dataset_, tokens_, rows, model_.form, passages);
    }
    std::vector<float> vectors(std::size_t(rows.size() * model_.encoder->shape().width));
    {
      const auto timed = context_.phases.measure("forward");
      model_.encoder->embed({passages.tokens, passages.offsets}, vectors);
    }
    const auto timed = context_.phases.measure("write");
    std::vector<std::int64_t> ids;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) ids.push_back(row);
    writer_->append<float>(writer_->column("vectors", "vector"), vectors);
    writer_->append<std::int64_t>(writer_->column("vectors", "id"), ids);
    embedded_tokens_ += std::int64_t(passages.tokens.size());
    progress(rows);
  }

  void progress(Range rows) {
    done_ += rows.size();
    if (context_.phases.total_seconds() < next_line_) return;
    next_line_ = context_.phases.total_seconds() + 10;
    const Range shards = part_of(dataset_.manifest().shards(), comm_.size(), comm_.rank());
    std::int64_t all = 0;
    for (std::int64_t s = shards.begin; s < shards.end; ++s)
      all += dataset_.shard_rows("passages", s).size();
    log_info("embedded {} of this rank's {} passages, {:.0f} tokens/s a rank", done_, all,
             double(embedded_tokens_) / context_.phases.total_seconds());
  }

  JobContext& context_;
  Comm& comm_;
  const EmbedConfig& config_;
  const Dataset& dataset_;
  LoadedEncoder model_;
  Dataset::Column tokens_;
  TableSchema table_;
  FinishedShards finished_;
  std::optional<ShardWriter> writer_;  // of the shard in work
  Range rows_;                         // its rows
  std::int64_t next_row_ = 0;
  std::int64_t embedded_tokens_ = 0, done_ = 0;
  double next_line_ = 10;
};

class EmbedJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    std::optional<Dataset> dataset;
    context.comm.attempt([&] {
      if (config_.block < 1)
        throw Error(ExitCode::usage, "a block is at least one passage", "embed.block");
      dataset.emplace(Dataset::open(config_.dataset, kDatasetKind));
    });
    LoadedEncoder model = load_encoder(context.comm, config_.model, config_.dtype);
    check_tokenizer(context.comm, model.manifest, dataset->manifest());
    if (context.dry_run) return ExitCode::done;
    context.events.write("ready");
    return EmbedRun(context, config_, *dataset, std::move(model)).run();
  }

 private:
  EmbedConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_embed_job() { return std::make_unique<EmbedJob>(); }

}  // namespace tutti
