// The storage levels that hold a run's generations: the run's own folder, which all nodes see, and
// where it is asked for, a folder on each node.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/checkpoint/checkpoint_options.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/store.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Every node's folder has the parts of its own ranks, copies of another node's, and the manifest;
// the shared one has all parts. A generation exists where any manifest of it does. Collective but
// for local_*.
class CheckpointLevels {
 public:
  // Makes the folders and removes what a killed run left unfinished. Throws Error(io).
  CheckpointLevels(Comm& comm, std::filesystem::path shared, const CheckpointOptions& options);
  // Looks at what is there, also while a job is at work: makes and removes nothing. `local` is the
  // run's checkpoint.local; empty: only the run's own folder. Throws Error(usage) where the run has
  // no node-local folders.
  struct LookOnly {};
  CheckpointLevels(Comm& comm, LookOnly, std::filesystem::path shared, const std::string& local);
  ~CheckpointLevels();

  const CheckpointStore& shared() const { return shared_; }
  const std::optional<CheckpointStore>& local() const { return local_; }  // this node's
  // The stores that are this rank's business: the node's on one rank of it, the shared one's on the
  // root.
  std::vector<CheckpointStore> local_stores() const;

  bool has_local() const { return local_.has_value(); }
  // One more than any number that was used at any level when this was made.
  std::int64_t next_generation() const { return next_generation_; }
  // Those with a manifest at any level, newest first.
  std::vector<std::int64_t> committed() const;

  // Makes the generation's folders at the levels that take it.
  void make_folders(std::int64_t generation, bool shared);
  // Where this rank writes a part: the node's own folder first.
  std::vector<std::filesystem::path> local_files(std::int64_t generation, const std::string& part,
                                                 bool shared) const;
  // Puts the manifest down at each level, which commits, and begins to remove what is beyond
  // retention on a thread of its own: to unlink a large file takes as long as to write a part of
  // it.
  void commit(std::int64_t generation, const nlohmann::json& manifest, bool shared);
  // Waits until that is done. A failure is a warning: the next commit tries again.
  void local_finish_removal();
  // Removes generations without a manifest. A failure is a warning: the next start tries again.
  void abandon_unfinished();

  // The first manifest that is whole, whichever level has it. Throws Error(data), or Error(usage)
  // where a newer version wrote it, on all ranks.
  CheckpointManifest read_manifest(std::int64_t generation) const;
  // Renames a generation that nowhere verifies, at all levels.
  void set_aside(std::int64_t generation);

  // Files of a part that this rank can open, the cheapest first.
  std::vector<std::filesystem::path> local_sources(std::int64_t generation,
                                                   const std::string& part) const;
  // The file of a part in this node's folder, where it is there.
  std::optional<std::filesystem::path> local_file(std::int64_t generation,
                                                  const std::string& part) const;

 private:
  std::string run_key();

  Comm& comm_;
  CheckpointStore shared_;
  std::optional<CheckpointStore> local_;  // this node's
  Retention retention_;
  std::int64_t next_generation_ = 0;
  std::future<void> removal_;
};

}  // namespace tutti
