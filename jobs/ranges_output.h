// The files of a search within a radius: neighbours, and what users call them by.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/found_names.h"
#include "jobs/found_neighbor.h"
#include "jobs/index_set.h"
#include "jobs/job.h"
#include "runtime/data/neighbors_file.h"
#include "runtime/data/ranges_file.h"

namespace tutti {

// Writes what runtime/data/FORMAT.md says of ranges, on the root. Collective; throws Error on all
// ranks.
class RangesOutput {
 public:
  // The set must outlive it.
  RangesOutput(JobContext& context, const IndexSet& indexes);

  // The root's neighbours of the next queries.
  void append(const FoundLists& found);
  // Makes the files durable and describes them, the root's alone.
  std::vector<FileRecord> finish();

 private:
  void append_external_ids(const FoundLists& found, std::span<const std::string> names);

  JobContext& context_;
  Comm& comm_;
  const IndexSet& indexes_;
  std::optional<FoundNames> names_;
  std::optional<RangesWriter> numbers_;        // the root's
  std::optional<ExternalIdsWriter> id_texts_;  // the root's, where external ids are text
};

}  // namespace tutti
