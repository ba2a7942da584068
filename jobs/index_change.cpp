#include "jobs/index_change.h"

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/json_integer.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

using nlohmann::json;

// Changes that an index remembers: a run that was killed is started again before so many others.
constexpr std::size_t kRemembered = 100;

void check_folders(const std::filesystem::path& index, const std::filesystem::path& run) {
  load_manifest(index, kIndexKind);
  std::error_code none;  // one that is not there is not the same
  if (std::filesystem::equivalent(index, run, none))
    throw Error(ExitCode::usage, "the run's folder is the index itself", run.string(),
                "give the change a folder of its own: --run");
}

json list_of_segments(const IndexFolder& index) {
  if (index.metadata().contains("segments")) return index.metadata()["segments"];
  json first = {{"shards", index.dataset.manifest().shards()}};
  if (!index.segments[0].columns_file.empty()) first["columns"] = index.segments[0].columns_file;
  return json::array({first});
}

}  // namespace

IndexChange::IndexChange(JobContext& context, const std::filesystem::path& folder)
    : context_(context), comm_(context.comm), folder_(folder) {
  comm_.attempt([&] { check_folders(folder, context.run_folder); });
  held_.emplace(comm_, folder);
  comm_.attempt([&] { index_.emplace(open_index(folder)); });
  remove_unnamed_files(comm_, folder, index_->dataset.manifest());
  comm_.attempt([&] {
    if (number() >= kMaxShards)
      throw Error(ExitCode::data, "the index has been changed too often", folder.string(),
                  "write it anew: tutti compact");
  });
}

std::int64_t IndexChange::number() const {
  const json& metadata = index_->metadata();
  return metadata.contains("generation") ? integer_of(metadata["generation"]) + 1 : 1;
}

std::string IndexChange::deleted_name() const { return deleted_file(number()); }
std::string IndexChange::columns_name() const { return changed_columns_file(number()); }

std::optional<ChangeCounts> IndexChange::find_done(const std::string& key) {
  std::optional<ChangeCounts> done;
  comm_.attempt([&] {
    const std::filesystem::path file = context_.run_folder / kChangeFile;
    if (!index_->metadata().contains("changes") || !std::filesystem::exists(file)) return;
    const json begun = read_sealed_json(file);
    for (const json& change : index_->metadata()["changes"])
      if (begun.value("key", "") == key && change.at("digest") == begun.at("digest"))
        done = ChangeCounts{integer_of(change.at("added")), integer_of(change.at("deleted")),
                            integer_of(change.at("replaced"))};
  });
  return done;
}

Manifest IndexChange::commit(const std::string& key, const ChangeCounts& counts,
                             const std::optional<NewSegment>& segment, const ArtefactParts& mine) {
  const Manifest& old = index_->dataset.manifest();
  const std::string digest = digest_of(json{{"index", old.digest}, {"key", key}}.dump());
  comm_.attempt([&] {
    if (comm_.is_root())
      write_sealed_json(context_.run_folder / kChangeFile, {{"key", key}, {"digest", digest}});
  });
  return commit_change(comm_, folder_, old,
                       {metadata_after(digest, counts, segment), changed_whole_file(number())},
                       mine);
}

json IndexChange::metadata_after(const std::string& digest, const ChangeCounts& counts,
                                 const std::optional<NewSegment>& segment) const {
  json metadata = index_->metadata();
  metadata["generation"] = number();
  metadata["count"] = index_->vectors + counts.added - counts.deleted - counts.replaced;
  json& changes = metadata["changes"];
  changes.push_back({{"digest", digest},
                     {"added", counts.added},
                     {"deleted", counts.deleted},
                     {"replaced", counts.replaced}});
  if (changes.size() > kRemembered) changes.erase(0);
  if (!segment) return metadata;
  json segments = list_of_segments(*index_), added = {{"shards", segment->shards},
                                                      {"first_id", segment->first_id},
                                                      {"vectors", counts.added},
                                                      {"vectors_digest", segment->vectors_digest}};
  if (!segment->columns_file.empty()) added["columns"] = segment->columns_file;
  segments.push_back(added);
  metadata["segments"] = segments;
  metadata["next_id"] = segment->end_id;
  // Passages of the dataset that was indexed have ids below the first vector added.
  if (metadata.contains("dataset") && !metadata.contains("dataset_ids"))
    metadata["dataset_ids"] = segment->first_id;
  return metadata;
}

}  // namespace tutti
