// The files of a search: neighbours, and what users call them by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/external_ids.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "kernels/vector/top_k.h"
#include "runtime/data/neighbors_file.h"

namespace tutti {

// Removes what an earlier search has left in the folder. Local; throws Error(io).
void local_remove_results(const std::filesystem::path& folder);

// External ids that are integers; "" is -1.
std::vector<std::int64_t> numbers_in(std::span<const std::string> names);

// Writes what runtime/data/FORMAT.md says of neighbours, on the root. Collective; throws Error on
// all ranks.
class NeighborsOutput {
 public:
  // The index must outlive it.
  NeighborsOutput(JobContext& context, const IndexFolder& index, std::int64_t queries,
                  std::int64_t k);

  // The root's neighbours of the next queries, k each.
  void append(std::span<const Neighbor> found);
  // Makes the files durable and describes them, the root's alone.
  std::vector<FileRecord> finish();

 private:
  void append_external_ids(std::span<const std::string> names);

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  std::int64_t k_;
  std::optional<ExternalIds> names_;
  std::optional<NeighborsWriter> numbers_;     // the root's
  std::optional<ExternalIdsWriter> id_texts_;  // the root's, where external ids are text
};

}  // namespace tutti
