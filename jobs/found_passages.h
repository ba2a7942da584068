// The passages that were found for questions, on the terminal and in result.json.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "jobs/found_neighbor.h"
#include "jobs/index_set.h"
#include "jobs/job.h"
#include "runtime/data/dataset.h"

namespace tutti {

// Keeps the first `show` neighbours of each question, and tells their passages in the end.
class FoundPassages {
 public:
  // The datasets are those that were indexed, where they still are; of a single index the one in
  // `folder`, unless that is empty. Where one is missing, or with nothing to show, all this does
  // nothing. Collective; throws Error on all ranks where a dataset is not its index's.
  FoundPassages(JobContext& context, const IndexSet& indexes, const std::string& folder,
                std::int64_t show);

  // The next question's neighbours, nearest first. Local, the root's.
  void keep(std::span<const FoundNeighbor> found);
  // Collective; throws Error on all ranks.
  void tell(std::span<const std::string> questions);

 private:
  void local_tell(std::span<const std::string> questions);
  nlohmann::json local_answers(std::span<const FoundNeighbor> found) const;

  JobContext& context_;
  const IndexSet& indexes_;
  std::int64_t show_;
  std::vector<Dataset> datasets_;  // of each index, or none
  std::vector<std::int64_t> ids_;  // below which ids are of its dataset: others were added later
  std::vector<std::vector<FoundNeighbor>> best_;  // of each question
};

}  // namespace tutti
