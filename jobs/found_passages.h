// The passages that were found for questions, on the terminal and in result.json.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "kernels/vector/top_k.h"
#include "runtime/data/dataset.h"

namespace tutti {

// Keeps the first `show` neighbours of each question, and tells their passages in the end.
class FoundPassages {
 public:
  // The dataset is the one in `folder`, or the one that was indexed, where it still is; without
  // it, or with nothing to show, all this does nothing. Collective; throws Error on all ranks
  // where the dataset is not the index's.
  FoundPassages(JobContext& context, const IndexFolder& index, const std::string& folder,
                std::int64_t show);

  // The next question's neighbours, nearest first. Local, the root's.
  void keep(std::span<const Neighbor> found);
  // Collective; throws Error on all ranks.
  void tell(std::span<const std::string> questions);

 private:
  void local_open(const std::string& folder);
  void local_tell(std::span<const std::string> questions);

  JobContext& context_;
  const IndexFolder& index_;
  std::int64_t show_;
  std::optional<Dataset> dataset_;
  std::vector<std::vector<Neighbor>> best_;  // of each question
};

}  // namespace tutti
