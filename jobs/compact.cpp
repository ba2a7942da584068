// compact: an index that has been changed, written anew without what is deleted, as one segment.
#include <array>
#include <optional>

#include <fmt/format.h>

#include "jobs/finished_shards.h"
#include "jobs/graph_builder.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/list_merger.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/commit.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

struct CompactConfig {
  std::string index;
  std::int64_t shards = 0, memory = std::int64_t(1) << 30;

  void describe(Schema& s) {
    s.key("index", &index, "folder of an index; it stays as it is");
    s.require("index");
    s.key("compact.shards", &shards, "shards",
          "files that the lists are written to; 0: as many as the index was built with");
    s.bytes("memory_limit", &memory, "memory of a rank for entries");
  }

  void check(const std::filesystem::path& run_folder) const {
    if (shards < 0 || shards > kMaxShards)
      throw Error(ExitCode::usage, "no number of shards", "compact.shards", "give 0 to 100000");
    if (memory < std::int64_t(1) << 20)
      throw Error(ExitCode::usage, "too little memory to work in", "memory_limit",
                  "give at least 1MiB");
    std::error_code none;  // one that is not there is not the same
    if (std::filesystem::equivalent(index, run_folder, none))
      throw Error(ExitCode::usage, "an index is not compacted into its own folder",
                  run_folder.string(), "give the new index a folder of its own: --run");
  }
};

class CompactRun {
 public:
  CompactRun(JobContext& context, const CompactConfig& config, const IndexFolder& index)
      : context_(context),
        comm_(context.comm),
        index_(index),
        shards_(config.shards > 0 ? config.shards : index.segments[0].shards.size()),
        memory_(config.memory) {
    comm_.attempt([&] { merger_.emplace(index, shards_, config.memory); });
    finished_.emplace(
        comm_, context.run_folder, part_of(shards_, comm_.size(), comm_.rank()),
        digest_of(nlohmann::json{{"index", index.dataset.manifest().digest}, {"shards", shards_}}
                      .dump()));
  }

  ExitCode run() {
    log_info("{} vectors and {} deleted ones in {} segments", index_.vectors, index_.deleted(),
             index_.segments.size());
    if (finished_->kept_by_all() > 0)
      log_info("{} of {} shards are finished already", finished_->kept_by_all(), shards_);
    while (true) {
      std::array<std::int64_t, 2> open = {finished_->local_next() >= 0, stop_requested()};
      comm_.all_reduce_sum(std::span(open));
      if (!open[0]) break;
      if (open[1]) return ExitCode::stopped;
      const auto timed = context_.phases.measure("write");
      comm_.attempt([&] { write_next(); });
    }
    ArtefactParts parts;
    parts.shards = finished_->records();
    comm_.attempt([&] {
      if (comm_.is_root()) write_files(parts.files);
    });
    Manifest compacted = commit(parts);
    merger_.reset();
    if (keeps_graph() && add_graph(context_, index_.graph->shape, compacted) == ExitCode::stopped)
      return ExitCode::stopped;
    forget();
    report(compacted);
    return ExitCode::done;
  }

 private:
  void write_next() {
    const std::int64_t shard = finished_->local_next();
    if (shard < 0) return;
    finished_->local_add({merger_->write_shard(context_.run_folder, shard),
                          {.records = merger_->entries_of(shard)}});
  }

  void write_files(std::vector<FileRecord>& files) const {
    const std::vector<float> centroids = index_.read_centroids();
    files.push_back(
        write_centroids(context_.run_folder, {centroids.data(), index_.nlist, index_.dim}));
    if (const auto space = index_.read_code_space())
      files.push_back(write_code_space(context_.run_folder, space->axes()));
    const std::string columns = merger_->columns_file();
    if (columns.empty()) return;
    atomic_replace(context_.run_folder / kColumnsFile, columns);
    files.push_back(record_plain_file(context_.run_folder / kColumnsFile));
  }

  Manifest commit(const ArtefactParts& parts) {
    const auto timed = context_.phases.measure("commit");
    nlohmann::json metadata = index_.metadata();
    metadata.erase("segments");
    metadata.erase("generation");
    metadata.erase("graph");
    metadata["compacted_from"] = index_.dataset.manifest().digest;
    if (!metadata.contains("next_id")) metadata["next_id"] = next_id();
    return commit_artefact(comm_, context_.run_folder, {kIndexKind, merger_->tables(), metadata},
                           parts);
  }

  // Built anew, where it fits the memory.
  bool keeps_graph() const {
    if (!index_.graph) return false;
    const std::int64_t bytes =
        bytes_to_build(index_.vectors, index_.dim, index_.storage, index_.graph->shape.degree);
    if (bytes <= memory_) return true;
    log_warning(
        "the new index has no graph: building it takes {} MiB of each rank's memory, more than "
        "memory_limit",
        (bytes >> 20) + 1);
    return false;
  }

  // Once the artefact exists: removes what only a later start would need.
  void forget() {
    finished_->forget();
    comm_.attempt([&] {
      if (comm_.is_root()) remove_folder(context_.run_folder / kBuildingFolder);
    });
  }

  // Behind every id that there was: those of deleted vectors are not to be used again.
  std::int64_t next_id() {
    std::int64_t largest = -1;
    comm_.attempt([&] {
      largest = index_.largest_id(index_.entries_of(index_.shards_of(comm_.size(), comm_.rank())));
    });
    return comm_.all_reduce_max(largest) + 1;
  }

  void report(const Manifest& index) {
    context_.result.update({{"index_digest", index.digest},
                            {"vectors", index_.vectors},
                            {"dropped", index_.deleted()},
                            {"segments_merged", index_.segments.size()}});
    log_info("{} vectors in one segment, left out {} deleted ones, digest {}", index_.vectors,
             index_.deleted(), index.digest);
  }

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  const std::int64_t shards_, memory_;
  std::optional<ListMerger> merger_;
  std::optional<FinishedShards> finished_;
};

class CompactJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] {
      config_.check(context.run_folder);
      refuse_changed_index(context.run_folder);
    });
    const IndexFolder index = open_index(context.comm, config_.index);
    if (context.dry_run) {
      log_info("{} vectors and {} deleted ones in {} segments", index.vectors, index.deleted(),
               index.segments.size());
      return ExitCode::done;
    }
    context.events.write("ready");
    return CompactRun(context, config_, index).run();
  }

 private:
  CompactConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_compact_job() { return std::make_unique<CompactJob>(); }

}  // namespace tutti
