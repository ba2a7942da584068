#include "runtime/checkpoint/levels.h"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "runtime/base/log.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

constexpr const char* kRunIdFile = "run.id";
// A node's folder only has to outlive the next checkpoint.
constexpr Retention kLocalRetention{.keep = 2};

std::filesystem::path local_folder(std::string pattern, const std::string& host,
                                   const std::string& run_key) {
  constexpr std::string_view kHost = "{host}";
  for (std::size_t at; (at = pattern.find(kHost)) != std::string::npos;)
    pattern.replace(at, kHost.size(), host);
  return std::filesystem::path(pattern) / ("tutti-" + run_key);
}

}  // namespace

CheckpointLevels::CheckpointLevels(Comm& comm, std::filesystem::path shared,
                                   const CheckpointOptions& options)
    : comm_(comm), shared_(std::move(shared)), retention_(options.retention) {
  comm_.attempt([&] {
    if (comm_.is_root()) create_folders(shared_.folder());
  });
  if (!options.local.empty())
    local_.emplace(local_folder(options.local, comm_.host(), run_key()), false);
  comm_.attempt([&] {
    if (local_ && comm_.is_node_root()) create_folders(local_->folder());
    for (const CheckpointStore& store : local_stores()) {
      next_generation_ = std::max(next_generation_, store.next_generation());
      store.remove_unfinished();
    }
  });
  next_generation_ = comm_.all_reduce_max(next_generation_);
}

CheckpointLevels::CheckpointLevels(Comm& comm, LookOnly, std::filesystem::path shared,
                                   const std::string& local)
    : comm_(comm), shared_(std::move(shared)) {
  comm_.attempt([&] {
    if (local.empty() || std::filesystem::exists(shared_.folder() / kRunIdFile)) return;
    throw Error(ExitCode::usage, "this run has kept no checkpoints on its nodes",
                shared_.folder().string(), "leave the node-local folder out");
  });
  if (!local.empty()) local_.emplace(local_folder(local, comm_.host(), run_key()), false);
}

// What tells this run's folders on the nodes from other runs': an identity of its own, so that a
// later run in the same place does not find them, and the place, so that a copy of the run does not
// either.
std::string CheckpointLevels::run_key() {
  std::string key;
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    const std::filesystem::path file = shared_.folder() / kRunIdFile;
    if (!std::filesystem::exists(file)) {
      std::random_device random;
      atomic_replace(file, fmt::format("{:08x}{:08x}\n", random(), random()));
    }
    key = digest_of(read_file(file) + std::filesystem::canonical(shared_.folder()).string());
  });
  return comm_.broadcast_string(key).substr(0, 16);
}

std::vector<CheckpointStore> CheckpointLevels::local_stores() const {
  std::vector<CheckpointStore> stores;
  if (local_ && comm_.is_node_root()) stores.push_back(*local_);
  if (comm_.is_root()) stores.push_back(shared_);
  return stores;
}

std::vector<std::int64_t> CheckpointLevels::committed() const {
  std::vector<std::int64_t> mine;
  comm_.attempt([&] {
    for (const CheckpointStore& store : local_stores())
      for (const std::int64_t generation : store.committed()) mine.push_back(generation);
  });
  std::vector<std::int64_t> all = comm_.all_gather(std::span<const std::int64_t>(mine));
  std::sort(all.rbegin(), all.rend());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

void CheckpointLevels::make_folders(std::int64_t generation, bool shared) {
  local_finish_removal();  // which makes room
  comm_.attempt([&] {
    if (local_ && comm_.is_node_root()) create_folders(local_->generation_folder(generation));
    if (shared && comm_.is_root()) create_folders(shared_.generation_folder(generation));
  });
}

std::vector<std::filesystem::path> CheckpointLevels::local_files(std::int64_t generation,
                                                                 const std::string& part,
                                                                 bool shared) const {
  std::vector<std::filesystem::path> files;
  if (local_) files.push_back(local_->generation_folder(generation) / part);
  if (shared) files.push_back(shared_.generation_folder(generation) / part);
  return files;
}

void CheckpointLevels::commit(std::int64_t generation, const nlohmann::json& manifest,
                              bool shared) {
  const auto put_down = [&](const CheckpointStore& store) {
    sync_folder(store.folder());
    write_sealed_json(store.manifest_of(generation), manifest);
  };
  comm_.attempt([&] {
    if (local_ && comm_.is_node_root()) put_down(*local_);
    if (shared && comm_.is_root()) put_down(shared_);
  });
  local_finish_removal();
  std::vector<std::pair<CheckpointStore, Retention>> work;
  if (local_ && comm_.is_node_root()) work.emplace_back(*local_, kLocalRetention);
  if (shared && comm_.is_root()) work.emplace_back(shared_, retention_);
  if (work.empty()) return;
  removal_ = std::async(std::launch::async, [work = std::move(work)] {
    for (const auto& [store, retention] : work) store.retain(retention);
  });
}

CheckpointLevels::~CheckpointLevels() { local_finish_removal(); }

void CheckpointLevels::local_finish_removal() {
  if (!removal_.valid()) return;
  try {
    removal_.get();
  } catch (const Error& e) {
    log_warning("{}", e.what());
  }
}

void CheckpointLevels::abandon_unfinished() {
  local_finish_removal();
  comm_.barrier();
  try {
    for (const CheckpointStore& store : local_stores()) store.remove_unfinished();
  } catch (const Error& e) {
    log_warning("{}", e.what());
  }
}

CheckpointManifest CheckpointLevels::read_manifest(std::int64_t generation) const {
  std::string text;
  std::optional<Error> failure;
  std::vector<CheckpointStore> stores = local_stores();
  std::reverse(stores.begin(), stores.end());  // the shared one first: it is the root's to hand out
  for (const CheckpointStore& store : stores) {
    const std::filesystem::path file = store.manifest_of(generation);
    if (!text.empty() || !std::filesystem::exists(file)) continue;
    try {
      const nlohmann::json json = read_sealed_json(file);
      (void)checkpoint_manifest_from_json(json, generation, file.string());
      text = json.dump();
    } catch (const Error& e) {
      failure = e;
    }
  }
  const std::int64_t reader = comm_.all_reduce_min(text.empty() ? comm_.size() : comm_.rank());
  if (reader == comm_.size()) {
    comm_.all_ok(failure);
    throw Error(ExitCode::data, "the manifest is gone", shared_.manifest_of(generation).string())
        .as_agreed();
  }
  if (failure) log_warning("checkpoint generation {}: {}", generation, failure->what());
  return checkpoint_manifest_from_json(
      nlohmann::json::parse(comm_.broadcast_string(text, int(reader))), generation,
      shared_.manifest_of(generation).string());
}

void CheckpointLevels::set_aside(std::int64_t generation) {
  comm_.attempt([&] {
    for (const CheckpointStore& store : local_stores())
      if (std::filesystem::exists(store.generation_folder(generation))) store.set_aside(generation);
  });
}

std::optional<std::filesystem::path> CheckpointLevels::local_file(std::int64_t generation,
                                                                  const std::string& part) const {
  if (!local_) return std::nullopt;
  const std::filesystem::path file = local_->generation_folder(generation) / part;
  return std::filesystem::exists(file) ? std::optional(file) : std::nullopt;
}

std::vector<std::filesystem::path> CheckpointLevels::local_sources(std::int64_t generation,
                                                                   const std::string& part) const {
  std::vector<std::filesystem::path> files;
  if (const auto file = local_file(generation, part)) files.push_back(*file);
  const std::filesystem::path shared = shared_.generation_folder(generation) / part;
  if (!local_ || std::filesystem::exists(shared)) files.push_back(shared);
  return files;
}

}  // namespace tutti
