// The folder that holds a run's generations of checkpoints: names, listing, setting aside,
// retention.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint_options.h"
#include "runtime/checkpoint/manifest.h"

namespace tutti {

// Generations are folders "generation-00000042"; one exists when its manifest does. All functions
// are local, the root's business, and throw Error(io) where the file system fails.
class CheckpointStore {
 public:
  // `all_parts`: whether a generation's folder holds all of its parts, or those of one node.
  explicit CheckpointStore(std::filesystem::path folder, bool all_parts = true)
      : folder_(std::move(folder)), all_parts_(all_parts) {}

  const std::filesystem::path& folder() const { return folder_; }
  bool has_all_parts() const { return all_parts_; }
  std::filesystem::path generation_folder(std::int64_t generation) const;
  std::filesystem::path manifest_of(std::int64_t generation) const;
  static std::string part_name(int rank);  // the file that this rank writes

  // Those with a manifest, newest first.
  std::vector<std::int64_t> committed() const;
  // Those without one, newest first: somebody writes them, or was killed while writing.
  std::vector<std::int64_t> unfinished() const;
  // Those that were set aside, newest first, and where.
  std::vector<std::int64_t> damaged() const;
  std::filesystem::path damaged_folder(std::int64_t generation) const;
  // One more than any number that was ever used here, by whatever became of it.
  std::int64_t next_generation() const;

  // Removes what a killed writer left: generations without a manifest.
  void remove_unfinished() const;
  // Renames a generation that does not verify to "generation-00000042.damaged", for a person to
  // look at.
  void set_aside(std::int64_t generation) const;
  // Removes a generation, its manifest first, so that a kill in between leaves nothing that passes
  // for whole.
  void remove(std::int64_t generation) const;
  // Removes one that was set aside.
  void remove_damaged(std::int64_t generation) const;
  // Removes all committed generations but those that `retention` names, the pinned ones, and, until
  // `retention.keep` newer ones look whole, the next older ones.
  void retain(const Retention& retention) const;

  // A pinned generation stays until it is unpinned.
  bool is_pinned(std::int64_t generation) const;
  void pin(std::int64_t generation) const;
  void unpin(std::int64_t generation) const;

  // Throws Error(data) where the manifest's seal does not hold or it is of another generation,
  // Error(usage) where a newer version wrote it.
  CheckpointManifest read_manifest(std::int64_t generation) const;
  // The same, and that the parts which belong here are there in their sizes. Reads no data.
  CheckpointManifest read_complete(std::int64_t generation) const;
  // Whether read_complete() finds nothing wrong.
  bool looks_whole(std::int64_t generation) const;

 private:
  bool is_young(std::int64_t generation, double seconds) const;

  std::filesystem::path folder_;
  bool all_parts_;
};

}  // namespace tutti
