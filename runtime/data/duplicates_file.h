// Near-duplicates on disk: pairs and their distances, and the groups that they make.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "runtime/data/pair_batches.h"
#include "runtime/data/spool.h"
#include "runtime/io/extent_file.h"

namespace tutti {

// Writes duplicates.h5. Pairs wait in temporary files, since how many they are shows at the end
// only. Local. Throws Error(io). Destroyed before finish(), it leaves nothing behind.
class DuplicatesWriter {
 public:
  // Distances count as `metric` has them ("euclidean", ...).
  DuplicatesWriter(const std::filesystem::path& folder, std::string distance);

  void append(const VectorPair& pair);
  std::int64_t pairs() const { return pairs_; }
  // The ids that are in a pair, ascending, and the group of each; makes the file durable. Once.
  FileRecord finish(std::span<const std::int64_t> ids, std::span<const std::int64_t> groups);

 private:
  std::filesystem::path folder_;
  std::string distance_;
  std::int64_t pairs_ = 0;
  Spool ids_, distances_;
};

}  // namespace tutti
