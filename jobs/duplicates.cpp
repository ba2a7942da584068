// duplicates: the pairs and groups of near-duplicate vectors of an index.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "jobs/duplicate_groups.h"
#include "jobs/external_ids.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/pair_finder.h"
#include "jobs/published_distance.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"
#include "runtime/data/duplicates_file.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

constexpr std::int64_t kNamesAtOnce = std::int64_t(1) << 20;

struct DuplicatesConfig {
  std::string index, mode = "exact";
  double radius = 0;
  std::int64_t nprobe = 16, limit = 0, batch = 16384, memory = std::int64_t(1) << 30;

  void describe(Schema& s) {
    s.key("index", &index, "folder of an index, as the index job leaves it");
    s.require("index");
    s.key("duplicates.radius", &radius, "distance",
          "two vectors are duplicates that are no farther from each other, as search.radius has "
          "it: l2 not squared; cosine: 1 - cosine; inner_product: a product of at least this. 0 "
          "finds "
          "what is the same under l2");
    s.require("duplicates.radius");
    s.choice("duplicates.mode", &mode, {"exact", "probe"},
             "exact: all pairs; probe: of each vector those with vectors of its nearest lists");
    s.key("duplicates.nprobe", &nprobe, "lists", "lists to look into for each vector");
    s.key(
        "duplicates.limit", &limit, "pairs",
        "at most so many of each vector, the nearest, and of these the smallest ids; 0: all. Large "
        "groups make few pairs then, and those of vectors that are the same stay whole");
    s.key("duplicates.batch", &batch, "vectors",
          "vectors that are looked for at a time, and whose pairs are in memory");
    s.bytes("memory_limit", &memory, "memory of a rank for the index's vectors");
  }

  void check() const {
    const auto wrong = [](const char* what, const char* key, const char* fix) {
      throw Error(ExitCode::usage, what, key, fix);
    };
    if (nprobe < 1) wrong("at least one list must be looked into", "duplicates.nprobe", "");
    if (limit < 0) wrong("duplicates.limit is negative", "duplicates.limit", "0: all");
    if (batch < 1) wrong("a batch is at least one vector", "duplicates.batch", "");
    if (memory < std::int64_t(1) << 20)
      wrong("too little memory to work in", "memory_limit", "give at least 1MiB");
  }
};

class DuplicatesRun {
 public:
  DuplicatesRun(JobContext& context, const DuplicatesConfig& config, const IndexFolder& index)
      : context_(context),
        comm_(context.comm),
        config_(config),
        index_(index),
        entries_(index.dataset.rows("entries")),
        batches_((entries_ + config.batch - 1) / config.batch) {}

  ExitCode run() {
    make_room();
    for (std::int64_t batch = 0; batch < batches_; ++batch) {
      if (comm_.all_reduce_max(std::int64_t(stop_requested())) > 0) return ExitCode::stopped;
      make_batch(batch);
    }
    merge();
    write_dropped();
    report(commit());
    return ExitCode::done;
  }

 private:
  std::filesystem::path batch_path(std::int64_t batch) const {
    return context_.run_folder / pair_batch_file(batch);
  }

  // What batches follow from: those of an earlier run with another are removed.
  std::string identity() const {
    return digest_of(nlohmann::json{
        {"index", index_.dataset.manifest().digest},
        {"radius", config_.radius},
        {"nprobe", nprobe()},
        {"limit", config_.limit},
        {"batch",
         config_.batch}}.dump());
  }
  // 0: all lists.
  std::int64_t nprobe() const {
    return config_.mode == "exact" ? 0 : std::min(config_.nprobe, index_.nlist);
  }

  void make_room() {
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      const std::filesystem::path key = context_.run_folder / kBatchKeyFile;
      if (!std::filesystem::exists(key) || read_file(key) != identity()) local_remove_batches();
      atomic_replace(key, identity());
    });
    begin_artefact(comm_, context_.run_folder);
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      for (const char* old : {kDuplicatesFile, kDropFile}) remove_file(context_.run_folder / old);
    });
  }

  void local_remove_batches() const {
    for (const auto& entry : std::filesystem::directory_iterator(context_.run_folder))
      if (is_pair_batch_file(entry.path().filename().string())) remove_file(entry.path());
  }

  void make_batch(std::int64_t batch) {
    const bool done = comm_.is_root() && std::filesystem::exists(batch_path(batch));
    if (comm_.all_reduce_max(std::int64_t(done)) > 0) return;  // by an earlier start of this run
    if (!finder_)
      finder_.emplace(context_, index_,
                      PairSearch{distance_limit(config_.radius, index_.metric), nprobe(),
                                 config_.limit, config_.memory - config_.memory / 8});
    const Range rows{batch * config_.batch, std::min(entries_, (batch + 1) * config_.batch)};
    const std::vector<VectorPair> pairs = finder_->find(rows);
    const auto timed = context_.phases.measure("write");
    comm_.attempt([&] {
      if (comm_.is_root()) write_pair_batch(batch_path(batch), pairs);
    });
    log_info("{} of {} vectors", rows.end, entries_);
  }

  // All batches in order become one file, and what is connected groups.
  void merge() {
    const auto timed = context_.phases.measure("merge");
    finder_.reset();  // its memory
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      std::vector<std::filesystem::path> paths;
      for (std::int64_t batch = 0; batch < batches_; ++batch) paths.push_back(batch_path(batch));
      DuplicatesWriter writer(context_.run_folder, published_name(index_.metric));
      GroupFinder finder;
      merge_pair_batches(paths, config_.memory, [&](const VectorPair& pair) {
        writer.append(pair);
        finder.add(pair.a, pair.b);
      });
      groups_ = finder.groups();
      pairs_ = writer.pairs();
      files_.push_back(writer.finish(groups_.ids, groups_.groups));
    });
  }

  // A line an id that another one of its group makes superfluous: the external id, where there is
  // one.
  void write_dropped() {
    const auto timed = context_.phases.measure("write");
    std::optional<ExternalIds> names;
    comm_.attempt([&] { names.emplace(comm_, index_); });
    const bool named = names->type() != ExternalIdType::none;
    const std::int64_t count = comm_.all_reduce_max(std::ssize(groups_.dropped));
    std::string lines;
    for (std::int64_t at = 0; at < count; at += kNamesAtOnce) {
      const auto ids =
          comm_.is_root()
              ? std::span<const std::int64_t>(groups_.dropped)
                    .subspan(std::size_t(at), std::size_t(std::min(kNamesAtOnce, count - at)))
              : std::span<const std::int64_t>();
      const std::vector<std::string> found = named ? names->find(ids) : std::vector<std::string>();
      for (std::size_t i = 0; i < ids.size(); ++i)
        add_line(named ? found[i] : std::to_string(ids[i]), lines);
    }
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      const std::filesystem::path file = context_.run_folder / kDropFile;
      atomic_replace(file, lines);
      files_.push_back(record_plain_file(file));
    });
  }

  // A name with a line break would be read as two.
  void add_line(const std::string& name, std::string& lines) {
    if (name.find_first_of("\r\n") == std::string::npos)
      lines += name + "\n";
    else
      ++unwritable_;
  }

  nlohmann::json figures() const {
    nlohmann::json figures = {{"radius", config_.radius},
                              {"mode", config_.mode},
                              {"pairs", pairs_},
                              {"vectors", index_.vectors},
                              {"vectors_in_pairs", std::ssize(groups_.ids)},
                              {"groups", groups_.count},
                              {"largest_group", groups_.largest},
                              {"vectors_kept", index_.vectors - std::ssize(groups_.dropped)}};
    if (nprobe() > 0) figures["nprobe"] = nprobe();
    if (config_.limit > 0) figures["limit"] = config_.limit;
    return figures;
  }

  Manifest commit() {
    const auto timed = context_.phases.measure("commit");
    ArtefactParts parts;
    parts.files = files_;
    nlohmann::json metadata = figures();
    metadata.update(
        {{"metric", name_of(index_.metric)}, {"index_digest", index_.dataset.manifest().digest}});
    const Manifest manifest =
        commit_artefact(comm_, context_.run_folder, {kDuplicatesKind, {}, metadata}, parts);
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      local_remove_batches();
      remove_file(context_.run_folder / kBatchKeyFile);
    });
    return manifest;
  }

  void report(const Manifest& manifest) {
    context_.result.update(figures());
    context_.result["duplicates_digest"] = manifest.digest;
    log_info(
        "{} pairs within {}: {} of {} vectors in {} groups, the largest of {}; {} remain where "
        "one of each group is kept; digest {}",
        pairs_, config_.radius, groups_.ids.size(), index_.vectors, groups_.count, groups_.largest,
        index_.vectors - std::ssize(groups_.dropped), manifest.digest);
    if (unwritable_ > 0)
      log_warning("{} external ids hold a line break, and are not in {}", unwritable_, kDropFile);
  }

  JobContext& context_;
  Comm& comm_;
  const DuplicatesConfig& config_;
  const IndexFolder& index_;
  const std::int64_t entries_, batches_;
  std::optional<PairFinder> finder_;
  // The root's.
  DuplicateGroups groups_;
  std::int64_t pairs_ = 0, unwritable_ = 0;
  std::vector<FileRecord> files_;
};

class DuplicatesJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] { config_.check(); });
    const IndexFolder index = open_index(context.comm, config_.index);
    context.comm.attempt([&] { check_radius(config_.radius, index.metric, "duplicates.radius"); });
    if (context.dry_run) {
      log_info("{} vectors of {} dimensions in {} lists, {}", index.vectors, index.dim, index.nlist,
               name_of(index.metric));
      return ExitCode::done;
    }
    context.events.write("ready");
    return DuplicatesRun(context, config_, index).run();
  }

 private:
  DuplicatesConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_duplicates_job() { return std::make_unique<DuplicatesJob>(); }

}  // namespace tutti
