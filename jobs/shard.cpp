// shard: documents or vectors into a dataset of HDF5 shards.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "jobs/finished_shards.h"
#include "jobs/job.h"
#include "jobs/shard_config.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/comm/partition.h"
#include "runtime/data/paths.h"
#include "runtime/data/sequences.h"
#include "runtime/data/text_sharder.h"
#include "runtime/data/tokenizer_training.h"
#include "runtime/data/vector_sharder.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

using nlohmann::json;

// Ranks meet after so many seconds: a failure or a wish to stop on one reaches all.
constexpr double kRoundSeconds = 3;

class ShardRun {
 public:
  ShardRun(JobContext& context, const ShardConfig& config)
      : context_(context),
        comm_(context.comm),
        config_(config),
        sharding_(config.sharding),
        mine_(part_of(config.shards, comm_.size(), comm_.rank())) {
    for (const char* phase :
         {"input", "metadata", "tokenizer", "resume", "read", "tokenize", "write", "commit"})
      (void)context.phases.measure(phase);  // ranks without shards must know them too
  }

  ExitCode run() {
    find();
    context_.events.write("ready");  // learning a tokenizer is work
    open();
    if (context_.dry_run) return ExitCode::done;
    make_room();
    if (make_shards() == ExitCode::stopped) return ExitCode::stopped;
    commit();
    return ExitCode::done;
  }

 private:
  bool is_text() const { return input_.kind != InputKind::vectors; }

  // The root looks, so that all ranks see the same files.
  void find() {
    const auto timed = context_.phases.measure("input");
    std::string found;  // as CBOR, which takes file names of any bytes
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      const json lists = {to_json(find_input(config_.paths, config_.format)),
                          to_json(config_.find_metadata())};
      json::to_cbor(lists, found);
    });
    const json lists = json::from_cbor(comm_.broadcast_string(found));
    input_ = input_files_from_json(lists.at(0));
    metadata_input_ = input_files_from_json(lists.at(1));
    log_info("{} file{} of {}, {:.1f} MB, into {} shards", input_.files.size(),
             input_.files.size() == 1 ? "" : "s",
             !is_text()                        ? "vectors"
             : input_.kind == InputKind::jsonl ? "JSONL"
                                               : "text",
             double(input_.bytes()) / 1e6, config_.shards);
  }

  void open() {
    comm_.attempt([&] {
      if (is_text() && config_.has_metadata())
        throw Error(ExitCode::usage, "the input is text, and metadata go with vectors",
                    "metadata.file", "leave it out");
    });
    if (is_text()) {
      source_.emplace(input_, config_.text);
      open_tokenizer();
    } else {
      comm_.attempt([&] { vectors_.emplace(input_, config_.dataset); });
      log_info("{} vectors of {} x {}", vectors_->rows(), vectors_->dimension(),
               name_of(vectors_->dtype()));
      if (config_.has_metadata()) open_metadata();
    }
    std::string identity;
    json::to_cbor(config_.identity(input_, metadata_input_, tokenizer_ ? tokenizer_->digest() : ""),
                  identity);
    key_ = digest_of(identity);
  }

  void open_metadata() {
    const auto timed = context_.phases.measure("metadata");
    metadata_.emplace(
        comm_, metadata_input_,
        MetadataOptions{config_.metadata, config_.text.longest_record, config_.text.skip_bad},
        vectors_->rows());
    for (const MetadataColumn& column : metadata_->columns())
      log_info("column {}: {}{}", column.name, name_of(column.type),
               column.has_codes() ? fmt::format(", {} values", column.values.size()) : "");
  }

  const MetadataInput* metadata() const { return metadata_ ? &*metadata_ : nullptr; }

  void open_tokenizer() {
    const auto timed = context_.phases.measure("tokenizer");
    std::string model;
    comm_.attempt([&] {
      if (comm_.is_root())
        model = config_.tokenizer_model.empty() ? train() : read_file(config_.tokenizer_model);
    });
    model = comm_.broadcast_string(model);
    if (model.empty()) return;  // a dry run trains none
    comm_.attempt([&] {
      tokenizer_.emplace(std::move(model), config_.tokenizer_model);
      if (config_.has_examples())
        template_.emplace(config_.text.examples.style, *tokenizer_, config_.examples_end);
    });
    sharding_.examples = template_ ? &*template_ : nullptr;
    log_info("tokenizer: {} pieces, digest {}", tokenizer_->vocabulary(), tokenizer_->digest());
    if (config_.tokenizer_model.empty() && tokenizer_->vocabulary() < config_.tokenizer.vocabulary)
      log_info(
          "the input carries no more than these pieces of the {} asked for (tokenizer.vocabulary)",
          config_.tokenizer.vocabulary);
  }

  std::string train() {
    const auto sentences = sample_sentences(*source_, config_.tokenizer.sample_bytes);
    std::size_t bytes = 0;
    for (const std::string& s : sentences) bytes += s.size();
    log_info("training a tokenizer on {:.1f} MB of the text", double(bytes) / 1e6);
    return context_.dry_run ? "" : train_tokenizer(sentences, config_.tokenizer);
  }

  // Keeps the shards that an earlier run with the same input and configuration finished.
  void make_room() {
    const auto timed = context_.phases.measure("resume");
    finished_.emplace(comm_, context_.run_folder, mine_, key_);
    if (finished_->kept_by_all() > 0)
      log_info("{} of {} shards are finished already", finished_->kept_by_all(), config_.shards);
  }

  ExitCode make_shards() {
    const auto start = std::chrono::steady_clock::now();
    while (true) {
      comm_.attempt([&] { work_for(kRoundSeconds); });
      std::array<std::int64_t, 2> open = {sharder_ || finished_->local_next() >= 0,
                                          stop_requested()};
      comm_.all_reduce_sum(std::span(open));
      seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (!open[0]) return ExitCode::done;
      report_progress();
      if (open[1]) return ExitCode::stopped;
    }
  }

  // Makes shards for so many seconds, or to the end of this rank's.
  void work_for(double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (Clock::now() < end && !stop_requested()) {
      if (!sharder_ && !start_next()) return;
      if (!step()) finish_shard();
    }
  }

  bool start_next() {
    const std::int64_t shard = finished_->local_next();
    if (shard < 0) return false;
    if (is_text()) {
      sharder_ = std::make_unique<TextSharder>(context_.run_folder, shard, *source_, *tokenizer_,
                                               sharding_);
    } else {
      sharder_ = std::make_unique<VectorSharder>(context_.run_folder, shard, config_.shards,
                                                 *vectors_, config_.text.skip_bad, metadata(),
                                                 sharding_.memory_bytes);
    }
    return true;
  }

  bool step() {
    {
      const auto timed = context_.phases.measure("read");
      if (!sharder_->read()) return false;
    }
    {
      const auto timed = context_.phases.measure("tokenize");
      sharder_->process();
    }
    const auto timed = context_.phases.measure("write");
    sharder_->write();
    return true;
  }

  void finish_shard() {
    const auto timed = context_.phases.measure("write");
    const SkippedRecords skipped = sharder_->skipped();
    for (const std::string& place : skipped.first) log_warning("skipped: {}", place);
    finished_->local_add({sharder_->finish(), sharder_->counts()});
    sharder_.reset();
  }

  // Over all ranks: what is done, with or without what an earlier run did.
  ShardCounts total(bool with_kept) {
    std::array<std::int64_t, ShardCounts::kSize> sum = {};
    std::int64_t largest = -1;
    const auto add = [&](const ShardCounts& counts) {
      const auto values = counts.values();
      for (std::size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
      largest = std::max(largest, counts.largest_token);
    };
    for (const FinishedShard& f : with_kept ? finished_->all() : finished_->made()) add(f.counts);
    if (sharder_) add(sharder_->counts());
    comm_.all_reduce_sum(std::span(sum));
    ShardCounts counts = ShardCounts::from(sum);
    counts.largest_token = comm_.all_reduce_max(largest);
    return counts;
  }

  void report_progress() {
    if (seconds_ < next_report_) return;
    next_report_ = seconds_ + 10;
    const ShardCounts done = total(false);
    log_info("{} {}, {:.1f} MB: {:.0f}/s, {:.1f} MB/s", done.records,
             is_text() ? "documents" : "vectors", double(done.bytes) / 1e6,
             double(done.records) / seconds_, double(done.bytes) / 1e6 / seconds_);
    context_.events.write(
        "progress", {{"records", done.records}, {"bytes", done.bytes}, {"seconds", seconds_}});
  }

  void commit() {
    const auto timed = context_.phases.measure("commit");
    const ShardCounts all = total(true), made = total(false);
    if (is_text() && all.passages == 0)
      throw Error(ExitCode::data, "the input has no text", input_.files.front().path,
                  "check input.* and fields.*")
          .as_agreed();
    ArtefactParts parts;
    parts.shards = finished_->records();
    const auto add_file = [&](const char* name, const std::string& bytes) {
      atomic_replace(context_.run_folder / name, bytes);
      parts.files.push_back(record_plain_file(context_.run_folder / name));
    };
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      if (tokenizer_) add_file(kTokenizerFile, tokenizer_->model());
      if (metadata_) add_file(kColumnsFile, columns_text(metadata_->columns()));
    });
    const ArtefactPlan plan =
        is_text()
            ? ArtefactPlan{kDatasetKind, text_tables(config_.has_examples()), text_metadata(all)}
            : ArtefactPlan{kVectorsKind, vector_tables(*vectors_, metadata()),
                           vector_metadata(all)};
    const Manifest manifest = commit_artefact(comm_, context_.run_folder, plan, parts);
    finished_->forget();
    report(all, made, manifest.digest);
  }

  json text_metadata(const ShardCounts& all) const {
    json metadata = {{"source", input_.kind == InputKind::jsonl ? "jsonl" : "text"},
                     {"documents", all.records},
                     {"heldout_documents", all.heldout},
                     {"passages", all.passages},
                     {"tokens", all.tokens},
                     {kLargestTokenKey, all.largest_token},
                     {"skipped_records", all.skipped},
                     {"vocabulary", tokenizer_->vocabulary()},
                     {"tokenizer_digest", tokenizer_->digest()},
                     {"tokenizer_trained", config_.tokenizer_model.empty()},
                     {"passage_tokens", config_.sharding.passage.tokens},
                     {"query_tokens", config_.sharding.query_tokens},
                     {"split_heldout", config_.sharding.heldout},
                     {"split_seed", config_.split_seed}};
    if (!template_) return metadata;
    metadata["examples"] = {{"format", config_.examples_format}, {"end", template_->end()}};
    if (template_->style() != ChatStyle::pair)
      metadata["examples"]["template"] = config_.examples_template;
    return metadata;
  }

  json vector_metadata(const ShardCounts& all) const {
    return {{"dimension", vectors_->dimension()},
            {"vectors", all.records},
            {"skipped_records", all.skipped}};
  }

  void report(const ShardCounts& all, const ShardCounts& made, const std::string& digest) {
    const double seconds = std::max(seconds_, 1e-3);
    context_.result.update({{is_text() ? "documents" : "vectors", all.records},
                            {"skipped_records", all.skipped},
                            {"dataset_digest", digest},
                            {"sharding_seconds", seconds_},
                            {is_text() ? "documents_per_second" : "vectors_per_second",
                             double(made.records) / seconds},
                            {"megabytes_per_second", double(made.bytes) / 1e6 / seconds}});
    if (is_text())
      context_.result.update({{"heldout_documents", all.heldout},
                              {"passages", all.passages},
                              {"tokens", all.tokens},
                              {"tokens_per_second", double(made.tokens) / seconds},
                              {"vocabulary", tokenizer_->vocabulary()},
                              {"tokenizer_digest", tokenizer_->digest()}});
    if (all.skipped) log_warning("{} bad records were skipped", all.skipped);
    log_info("{} {}, {} passages, {} tokens; {:.1f} MB/s; digest {}", all.records,
             is_text() ? "documents" : "vectors", all.passages, all.tokens,
             double(made.bytes) / 1e6 / seconds, digest);
  }

  JobContext& context_;
  Comm& comm_;
  const ShardConfig& config_;
  TextShardOptions sharding_;
  const Range mine_;  // shards
  InputFiles input_, metadata_input_;
  std::optional<TextSource> source_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;  // of examples
  std::optional<VectorInput> vectors_;
  std::optional<MetadataInput> metadata_;  // of the vectors
  std::string key_;
  std::optional<FinishedShards> finished_;
  std::unique_ptr<Sharder> sharder_;
  double seconds_ = 0, next_report_ = 10;
};

class ShardJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] { config_.check(); });
    return ShardRun(context, config_).run();
  }

 private:
  ShardConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_shard_job() { return std::make_unique<ShardJob>(); }

}  // namespace tutti
