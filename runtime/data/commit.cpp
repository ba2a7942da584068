#include "runtime/data/commit.h"

#include <algorithm>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"
#include "runtime/data/whole_file.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

using nlohmann::json;

std::string to_text(const ArtefactParts& parts) {
  json shards = json::array(), files = json::array();
  for (const auto& shard : parts.shards)
    shards.push_back({{"index", shard.index}, {"rows", shard.rows}, {"file", to_json(shard.file)}});
  for (const auto& file : parts.files) files.push_back(to_json(file));
  return json{{"shards", shards}, {"files", files}}.dump();
}

ArtefactParts gather_parts(Comm& comm, const ArtefactParts& mine) {
  ArtefactParts all;
  for (const auto& text : comm.all_gather_strings(to_text(mine))) {
    const json parts = json::parse(text);
    for (const json& shard : parts.at("shards"))
      all.shards.push_back({shard.at("index"), shard.at("rows"),
                            file_record_from_json(shard.at("file"), "a rank's message")});
    for (const json& file : parts.at("files"))
      all.files.push_back(file_record_from_json(file, "a rank's message"));
  }
  std::sort(all.shards.begin(), all.shards.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  return all;
}

Manifest assemble(const ArtefactPlan& plan, ArtefactParts parts) {
  Manifest manifest;
  CHECK(plan.metadata.is_object(), plan.kind);
  manifest.kind = plan.kind;
  manifest.metadata = plan.metadata;
  for (const auto& table : plan.tables) manifest.tables.push_back({table, {}});
  for (std::size_t i = 0; i < parts.shards.size(); ++i) {
    ShardRecord& shard = parts.shards[i];
    CHECK(shard.index == std::int64_t(i) && shard.rows.size() == plan.tables.size(),
          "every shard is written once");
    for (std::size_t t = 0; t < plan.tables.size(); ++t)
      manifest.tables[t].shard_rows.push_back(shard.rows[t]);
    manifest.files.push_back(std::move(shard.file));
  }
  for (auto& file : parts.files) manifest.files.push_back(std::move(file));
  return manifest;
}

void sort_files(Manifest& manifest) {
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
}

// The root's part: afterwards the artefact exists, or no trace of a manifest does. Returns the
// manifest's bytes.
std::string write_artefact(const std::filesystem::path& folder, const ArtefactPlan& plan,
                           ArtefactParts parts) {
  Manifest manifest = assemble(plan, std::move(parts));
  sort_files(manifest);
  if (!manifest.tables.empty()) manifest.files.push_back(write_whole_file(folder, manifest));
  sort_files(manifest);
  manifest.digest = artefact_digest(manifest.files);
  sync_folder(folder);
  const std::string sealed = seal_json(to_json(manifest));
  try {
    atomic_replace(folder / kManifestFile, sealed);
  } catch (...) {
    std::error_code ignored;  // the first error is the one to tell
    std::filesystem::remove(folder / kManifestFile, ignored);
    throw;
  }
  return sealed;
}

// Names of files that this code may remove: those that artefacts give their own.
bool is_ours(const std::string& name) {
  return is_shard_file(name) || is_shard_record_file(name) || is_leftover_file(name) ||
         is_change_file(name) || name == kWholeFile;
}

std::vector<std::filesystem::path> files_of_ours(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::directory_iterator entries(folder, failure);
  if (failure) throw_file_error("list", folder, failure.value());
  std::vector<std::filesystem::path> ours;
  for (const auto& entry : entries)
    if (is_ours(entry.path().filename().string())) ours.push_back(entry.path());
  return ours;
}

void make_room(const std::filesystem::path& folder, const std::vector<std::string>& keep) {
  create_folders(folder);
  remove_file(folder / kManifestFile);
  sync_folder(folder);
  for (const std::filesystem::path& file : files_of_ours(folder))
    if (std::find(keep.begin(), keep.end(), file.filename().string()) == keep.end())
      remove_file(file);
  sync_folder(folder);
}

void keep_named_files(const std::filesystem::path& folder, const Manifest& manifest) {
  for (const std::filesystem::path& file : files_of_ours(folder))
    if (!manifest.find_file(file.filename().string())) remove_file(file);
  sync_folder(folder);
}

// The root's part: returns the new manifest's bytes.
std::string write_change(const std::filesystem::path& folder, Manifest manifest,
                         const ArtefactChange& change, ArtefactParts parts) {
  manifest.metadata = change.metadata;
  for (ShardRecord& shard : parts.shards) {
    CHECK(shard.index == manifest.shards() && shard.rows.size() == manifest.tables.size(),
          "new shards stand behind the old ones");
    for (std::size_t t = 0; t < shard.rows.size(); ++t)
      manifest.tables[t].shard_rows.push_back(shard.rows[t]);
    manifest.files.push_back(std::move(shard.file));
  }
  for (FileRecord& file : parts.files) manifest.files.push_back(std::move(file));
  sort_files(manifest);
  if (!parts.shards.empty()) {
    std::erase_if(manifest.files, [](const FileRecord& file) { return is_whole_file(file.name); });
    manifest.files.push_back(write_whole_file(folder, manifest, change.whole_file));
    sort_files(manifest);
  }
  manifest.digest = artefact_digest(manifest.files);
  sync_folder(folder);
  const std::string sealed = seal_json(to_json(manifest));
  atomic_replace(folder / kManifestFile, sealed);
  return sealed;
}

}  // namespace

void begin_artefact(Comm& comm, const std::filesystem::path& folder,
                    const std::vector<std::string>& keep) {
  comm.attempt([&] {
    if (comm.is_root()) make_room(folder, keep);
  });
}

Manifest commit_change(Comm& comm, const std::filesystem::path& folder, const Manifest& old,
                       const ArtefactChange& change, const ArtefactParts& mine) {
  ArtefactParts parts = gather_parts(comm, mine);
  std::string sealed;
  comm.attempt([&] {
    if (comm.is_root()) sealed = write_change(folder, old, change, std::move(parts));
  });
  const std::string place = (folder / kManifestFile).string();
  Manifest changed = manifest_from_json(unseal_json(comm.broadcast_string(sealed), place), place);
  remove_unnamed_files(comm, folder, changed);
  return changed;
}

void remove_unnamed_files(Comm& comm, const std::filesystem::path& folder,
                          const Manifest& manifest) {
  comm.attempt([&] {
    if (comm.is_root()) keep_named_files(folder, manifest);
  });
}

Manifest commit_artefact(Comm& comm, const std::filesystem::path& folder, const ArtefactPlan& plan,
                         const ArtefactParts& mine) {
  ArtefactParts parts = gather_parts(comm, mine);
  std::string sealed;
  comm.attempt([&] {
    if (comm.is_root()) sealed = write_artefact(folder, plan, std::move(parts));
  });
  const std::string place = (folder / kManifestFile).string();
  return manifest_from_json(unseal_json(comm.broadcast_string(sealed), place), place);
}

void replace_manifest(Comm& comm, const std::filesystem::path& folder, const Manifest& manifest) {
  comm.attempt([&] {
    if (comm.is_root()) atomic_replace(folder / kManifestFile, seal_json(to_json(manifest)));
  });
}

}  // namespace tutti
