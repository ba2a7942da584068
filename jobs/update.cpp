// update: deletes vectors of an index and adds others, in place, at one moment.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "jobs/carried_columns.h"
#include "jobs/deleted_entries.h"
#include "jobs/index_change.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/list_builder.h"
#include "jobs/update_plan.h"
#include "jobs/vector_reader.h"
#include "runtime/base/log.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

struct UpdateConfig {
  std::string index, vectors, metric = "auto", gone_file, gone_where, on_duplicate = "fail",
                              on_unknown = "fail", on_bad_record = "fail";
  std::int64_t shards = 0, memory = std::int64_t(1) << 30;

  void describe(Schema& s) {
    s.key("index", &index, "folder of an index, which is changed in place");
    s.require("index");
    s.key(
        "vectors", &vectors,
        "folder of vectors to add, as the embed or shard job leaves it: of the index's dimension, "
        "metric and columns of metadata");
    s.key("update.delete", &gone_file,
          "file of ids to delete, one a line: external ids where the index has them, else its own");
    s.key("update.delete_where", &gone_where,
          "delete what this filter over the metadata is true of, as search.where has them");
    s.choice("update.on_unknown", &on_unknown, {"fail", "skip"},
             "an id of update.delete that no vector has: end with code 65, or pass it over");
    s.choice("update.on_duplicate", &on_duplicate, {"fail", "replace", "skip"},
             "a new vector whose external id is there already: end with code 65, put it in the "
             "other's place, or leave it out");
    s.choice("update.metric", &metric, {"auto", "l2", "inner_product", "cosine"},
             "the index's, to add vectors whose metadata name another; auto: they may not");
    s.key("update.shards", &shards, "shards",
          "files that the new lists are written to; 0: as large as the index's");
    s.choice("on_bad_record", &on_bad_record, {"fail", "skip"},
             "a vector that holds NaN or infinity, or is all zeros under cosine: end with code 65, "
             "or leave it out");
    s.bytes("memory_limit", &memory, "memory of a rank for vectors and ids");
  }

  void check() const {
    if (vectors.empty() && gone_file.empty() && gone_where.empty())
      throw Error(ExitCode::usage, "nothing is to be changed", "vectors",
                  "give vectors to add, or what to delete: update.delete, update.delete_where");
    if (shards < 0 || shards > kMaxShards)
      throw Error(ExitCode::usage, "no number of shards", "update.shards", "give 0 to 100000");
    if (memory < std::int64_t(1) << 20)
      throw Error(ExitCode::usage, "too little memory to work in", "memory_limit",
                  "give at least 1MiB");
  }

  OnDuplicate duplicates() const {
    return on_duplicate == "replace" ? OnDuplicate::replace
           : on_duplicate == "skip"  ? OnDuplicate::skip
                                     : OnDuplicate::fail;
  }
};

// Throws where vectors do not go with an index.
void check_fit(const IndexFolder& index, const Dataset& vectors, const std::string& metric) {
  const std::string place = vectors.folder().string();
  const auto refuse = [&](const std::string& what, const std::string& fix) {
    throw Error(ExitCode::data, what, place, fix);
  };
  if (const std::int64_t dim = vectors.column("vectors", "vector").width; dim != index.dim)
    refuse(fmt::format("the vectors have {} dimensions, the index has {}", dim, index.dim),
           "give vectors of the same model");
  const std::string wanted(name_of(index.metric)),
      theirs = vectors.manifest().metadata_text("metric", wanted);
  if (metric != "auto" && metric != wanted)
    throw Error(ExitCode::usage, fmt::format("the index's metric is {}", wanted), "update.metric",
                fmt::format("give {}", wanted));
  if (metric == "auto" && theirs != wanted)
    refuse(fmt::format("the vectors are for the metric {}, the index's is {}", theirs, wanted),
           fmt::format("if they may be searched by it, say so: update.metric = \"{}\"", wanted));
  const std::string model = index.dataset.manifest().metadata_text("model_digest");
  if (const std::string other = vectors.manifest().metadata_text("model_digest", model);
      other != model && !model.empty())
    refuse("the vectors were embedded by another model than the index's", "embed them with it");
  const MetadataColumns have(index.dataset, "entries"), found(vectors);
  if (const std::string difference = column_difference(have.columns(), found.columns());
      !difference.empty())
    refuse("the vectors have not the index's columns of metadata: " + difference,
           "give metadata.columns of the shard job as for the index's vectors");
  if (have.external_ids() != found.external_ids()) {
    constexpr const char* kNames[] = {"no external ids", "integers", "strings"};
    refuse(fmt::format("the vectors have {} to be called by, the index has {}",
                       kNames[int(found.external_ids())], kNames[int(have.external_ids())]),
           "give metadata.id of the shard job as for the index's vectors");
  }
}

// What is read but for the index.
struct UpdateInput {
  std::optional<Dataset> dataset;
  std::optional<VectorReader> vectors;
  std::optional<CarriedColumns> columns;
  UpdateRequest request;

  UpdateInput(const UpdateConfig& config, const IndexFolder& index) {
    const bool skip_bad = config.on_bad_record == "skip";
    if (!config.vectors.empty()) {
      dataset.emplace(Dataset::open(config.vectors, kVectorsKind));
      check_fit(index, *dataset, config.metric);
      vectors.emplace(*dataset, index.metric, skip_bad);
      columns.emplace(*dataset);
      request.vectors = &*vectors;
    }
    if (!config.gone_file.empty())
      request.gone =
          IdFile::open(config.gone_file, MetadataColumns(index.dataset, "entries").external_ids());
    request.gone_where = config.gone_where;
    request.skip_unknown = config.on_unknown == "skip";
    request.skip_bad = skip_bad;
    request.on_duplicate = config.duplicates();
    request.memory_bytes = config.memory;
  }

  // A digest of all that the change follows from, but for the index.
  std::string key(const UpdateConfig& config) const {
    return digest_of(nlohmann::json{
        {"vectors", dataset ? dataset->manifest().digest : ""},
        {"delete", request.gone ? request.gone->digest() : ""},
        {"delete_where", request.gone_where},
        {"on_unknown", config.on_unknown},
        {"on_duplicate", config.on_duplicate},
        {"on_bad_record", config.on_bad_record},
        {"shards",
         config.shards}}.dump());
  }
};

void tell_plan(const UpdatePlan& plan, const char* when) {
  log_info("{}{} vectors added, {} of them in the place of others, {} deleted", when, plan.added,
           plan.replaced, plan.deleted);
  if (plan.unknown > 0) log_warning("passed over {} ids that no vector has", plan.unknown);
  if (plan.duplicates > 0)
    log_warning("left out {} vectors whose external ids are there already", plan.duplicates);
  if (plan.bad > 0) log_warning("left out {} vectors that cannot be indexed", plan.bad);
}

class UpdateRun {
 public:
  UpdateRun(JobContext& context, const UpdateConfig& config)
      : context_(context),
        comm_(context.comm),
        config_(config),
        change_(context, config.index),
        index_(change_.index()) {
    comm_.attempt([&] {
      input_.emplace(config, index_);
      key_ = input_->key(config);
    });
  }

  ExitCode run() {
    if (const auto done = change_.find_done(key_)) return tell_done(*done);
    {
      const auto timed = context_.phases.measure("plan");
      plan_ = plan_update(comm_, index_, input_->request);
    }
    if (plan_.gone.empty() && plan_.added == 0) return tell_nothing();
    ArtefactParts parts;
    std::optional<NewSegment> segment;
    if (plan_.added > 0) {
      segment.emplace();
      if (build(*segment, parts.shards) == ExitCode::stopped) return ExitCode::stopped;
    }
    comm_.attempt([&] {
      if (comm_.is_root()) write_files(segment, parts.files);
    });
    const auto timed = context_.phases.measure("commit");
    const ChangeCounts counts{plan_.added, plan_.deleted, plan_.replaced};
    const Manifest changed = change_.commit(key_, counts, segment, parts);
    tell_plan(plan_, "");
    if (segment) context_.result["first_id"] = segment->first_id;
    report(changed, counts);
    return ExitCode::done;
  }

 private:
  // The new vectors as lists around the index's centroids, behind its shards.
  ExitCode build(NewSegment& segment, std::vector<ShardRecord>& mine) {
    settle_ids(segment);
    input_->vectors->leave_out(plan_.left_out);
    input_->vectors->number_from(segment.first_id);
    const Manifest& manifest = index_.dataset.manifest();
    const std::int64_t old = index_.segments[0].shards.size(),
                       each = std::max<std::int64_t>(1, index_.entries_of({0, old}).size() / old),
                       wanted = (plan_.added + each - 1) / each;
    const ListOptions lists{config_.index,
                            config_.shards > 0 ? config_.shards : std::min(wanted, old),
                            manifest.shards(), index_.storage, config_.memory / 2};
    segment.shards = lists.shards;
    segment.vectors_digest = input_->dataset->manifest().digest;
    if (manifest.find_file(index_.segments[0].columns_file))
      segment.columns_file = change_.columns_name();
    TrainedCentroids centroids{index_.dim, 0, {}};
    comm_.attempt([&] {
      if (manifest.shards() + lists.shards > kMaxShards)
        throw Error(ExitCode::data, "the index would have too many shards", config_.index,
                    "write it anew: tutti compact");
      centroids.values = index_.read_centroids();
    });
    // What a stopped start has kept holds for the index that it saw only.
    ListBuilder builder(context_, *input_->vectors, *input_->columns, lists,
                        {{"index", manifest.digest}, {"change", key_}});
    if (builder.assign(centroids) == ExitCode::stopped) return ExitCode::stopped;
    if (builder.write(mine) == ExitCode::stopped) return ExitCode::stopped;
    builder.forget();
    return ExitCode::done;
  }

  // No id is used twice, not even one of a vector that is gone.
  void settle_ids(NewSegment& segment) {
    std::int64_t largest = -1, largest_new = -1;
    const Range rows = part_of(input_->vectors->rows(), comm_.size(), comm_.rank());
    comm_.attempt([&] {
      if (index_.metadata().contains("next_id"))
        largest = integer_of(index_.metadata()["next_id"]) - 1;
      else
        largest =
            index_.largest_id(index_.entries_of(index_.shards_of(comm_.size(), comm_.rank())));
      for (std::int64_t at = rows.begin; at < rows.end; at += kIdsAtOnce)
        largest_new = std::max(
            largest_new,
            std::ranges::max(input_->vectors->ids({at, std::min(rows.end, at + kIdsAtOnce)})));
    });
    segment.first_id = comm_.all_reduce_max(largest) + 1;
    largest_new = comm_.all_reduce_max(largest_new);
    comm_.attempt([&] {
      if (__builtin_add_overflow(segment.first_id, largest_new + 1, &segment.end_id))
        throw Error(ExitCode::data, "a vector's id, behind those of the index, is beyond 2^63",
                    config_.vectors, "give smaller ids");
    });
  }

  void write_files(const std::optional<NewSegment>& segment, std::vector<FileRecord>& files) const {
    if (!plan_.gone.empty())
      files.push_back(write_deleted(config_.index, change_.deleted_name(), plan_.gone));
    if (!segment || segment->columns_file.empty()) return;
    const std::filesystem::path file = std::filesystem::path(config_.index) / segment->columns_file;
    atomic_replace(file, input_->columns->columns_file());
    files.push_back(record_plain_file(file));
  }

  ExitCode tell_done(const ChangeCounts& counts) {
    log_info(
        "this run has changed the index already, and does so once: to do the same again, give "
        "another folder with --run");
    context_.result["already_done"] = true;
    report(index_.dataset.manifest(), counts);
    return ExitCode::done;
  }

  ExitCode tell_nothing() {
    tell_plan(plan_, "");
    report(index_.dataset.manifest(), {});
    return ExitCode::done;
  }

  void report(const Manifest& index, const ChangeCounts& counts) {
    const std::int64_t live = integer_of(index.metadata.at("count")),
                       entries = index.find_table("entries")->rows();
    const auto segments = std::int64_t(segments_of(index).size());
    context_.result.update({{"index_digest", index.digest},
                            {"added", counts.added},
                            {"deleted", counts.deleted},
                            {"replaced", counts.replaced},
                            {"duplicates_skipped", plan_.duplicates},
                            {"unknown_skipped", plan_.unknown},
                            {"vectors_skipped", plan_.bad},
                            {"live", live},
                            {"segments", segments}});
    log_info("{} vectors in {} segments, digest {}", live, segments, index.digest);
    if (5 * (entries - live) > entries || segments > kManySegments)
      log_info(
          "{} of {} entries are deleted, and there are {} segments: tutti compact makes searches "
          "faster",
          entries - live, entries, segments);
  }

  static constexpr std::int64_t kIdsAtOnce = std::int64_t(1) << 20;
  static constexpr std::int64_t kManySegments = 16;

  JobContext& context_;
  Comm& comm_;
  const UpdateConfig& config_;
  IndexChange change_;
  const IndexFolder& index_;
  std::optional<UpdateInput> input_;
  std::string key_;
  UpdatePlan plan_;
};

class UpdateJob : public Job {
 public:
  void describe(Schema& schema) override { config_.describe(schema); }

  ExitCode run(JobContext& context) override {
    context.comm.attempt([&] { config_.check(); });
    if (context.dry_run) return explain(context);
    context.events.write("ready");
    return UpdateRun(context, config_).run();
  }

 private:
  ExitCode explain(JobContext& context) {
    std::optional<IndexFolder> index;
    std::optional<UpdateInput> input;
    context.comm.attempt([&] {
      index.emplace(open_index(config_.index));
      input.emplace(config_, *index);
    });
    tell_plan(plan_update(context.comm, *index, input->request), "there would be ");
    return ExitCode::done;
  }

  UpdateConfig config_;
};

}  // namespace

std::unique_ptr<Job> make_update_job() { return std::make_unique<UpdateJob>(); }

}  // namespace tutti
