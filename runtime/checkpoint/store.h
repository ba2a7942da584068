// The folder that holds a run's generations of checkpoints: names, listing, setting aside,
// retention.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tutti {

// Generations are folders "generation-00000042"; one exists when its manifest does. All functions
// are local, the root's business, and throw Error(io) where the file system fails.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::filesystem::path generation_folder(std::int64_t generation) const;
  std::filesystem::path manifest_of(std::int64_t generation) const;
  static std::string part_name(int rank);  // the file that this rank writes

  // Those with a manifest, newest first.
  std::vector<std::int64_t> committed() const;
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
  // Removes all committed generations but the newest `keep`.
  void retain(std::int64_t keep) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace tutti
