// The storage levels that hold a run's generations: the run's own folder, which all nodes see, and
// where it is asked for, a folder on each node.
#pragma once

#include <cstdint>
#include <filesystem>
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

  bool has_local() const { return local_.has_value(); }
  // One more than any number that was used at any level when this was made.
  std::int64_t next_generation() const { return next_generation_; }
  // Those with a manifest at any level, newest first.
  std::vector<std::int64_t> committed();

  // Makes the generation's folders at the levels that take it.
  void make_folders(std::int64_t generation, bool shared);
  // Where this rank writes a part: the node's own folder first.
  std::vector<std::filesystem::path> local_files(std::int64_t generation, const std::string& part,
                                                 bool shared) const;
  // Puts the manifest down at each level, which commits, and removes what is beyond retention.
  void commit(std::int64_t generation, const nlohmann::json& manifest, bool shared);
  // Removes generations without a manifest. A failure is a warning: the next start tries again.
  void abandon_unfinished();

  // The first manifest that is whole, whichever level has it. Throws Error(data), or Error(usage)
  // where a newer version wrote it, on all ranks.
  CheckpointManifest read_manifest(std::int64_t generation);
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
  std::vector<CheckpointStore> my_stores() const;

  Comm& comm_;
  CheckpointStore shared_;
  std::optional<CheckpointStore> local_;  // this node's
  Retention retention_;
  std::int64_t next_generation_ = 0;
};

}  // namespace tutti
