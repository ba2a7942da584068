// The files of a search: neighbours, and what users call them by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/found_names.h"
#include "jobs/found_neighbor.h"
#include "jobs/index_set.h"
#include "jobs/job.h"
#include "runtime/data/neighbors_file.h"

namespace tutti {

// Removes what an earlier search has left in the folder. Local; throws Error(io).
void local_remove_results(const std::filesystem::path& folder);

// External ids that are integers; "" is -1.
std::vector<std::int64_t> numbers_in(std::span<const std::string> names);

// Neighbours as a file has them: column by column, with distances as they are published.
struct NeighborColumns {
  std::vector<std::int64_t> ids;
  std::vector<float> distances;
  std::vector<std::int32_t> indexes;  // of a set

  NeighborColumns(std::span<const FoundNeighbor> found, Metric metric);
};

// Writes what runtime/data/FORMAT.md says of neighbours, on the root. Collective; throws Error on
// all ranks.
class NeighborsOutput {
 public:
  // The set must outlive it.
  NeighborsOutput(JobContext& context, const IndexSet& indexes, std::int64_t queries,
                  std::int64_t k);

  // The root's neighbours of the next queries, k each.
  void append(std::span<const FoundNeighbor> found);
  // Makes the files durable and describes them, the root's alone.
  std::vector<FileRecord> finish();

 private:
  void append_external_ids(std::span<const std::string> names);

  JobContext& context_;
  Comm& comm_;
  const IndexSet& indexes_;
  std::int64_t k_;
  std::optional<FoundNames> names_;
  std::optional<NeighborsWriter> numbers_;     // the root's
  std::optional<ExternalIdsWriter> id_texts_;  // the root's, where external ids are text
};

}  // namespace tutti
