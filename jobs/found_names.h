// What users call what a search has found.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "jobs/external_ids.h"
#include "jobs/found_neighbor.h"
#include "jobs/index_set.h"

namespace tutti {

// The external ids of several indexes' vectors.
class FoundNames {
 public:
  // Local. Throws Error(data), and Error(usage) where some indexes call their vectors by integers
  // and others by strings. The set must outlive it.
  FoundNames(Comm& comm, const IndexSet& indexes);

  // Of the indexes that have external ids.
  ExternalIdType type() const { return type_; }
  // What the root's neighbours are called, on the root, integers in decimal; nothing elsewhere.
  // Padding, and what has no external id, is called "". Collective; throws Error on all ranks.
  std::vector<std::string> find(std::span<const FoundNeighbor> found);

 private:
  std::deque<ExternalIds> ids_;  // of each index
  ExternalIdType type_ = ExternalIdType::none;
};

}  // namespace tutti
