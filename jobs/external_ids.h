// What users call the vectors of an index by.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "jobs/index_folder.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/metadata_columns.h"

namespace tutti {

// Looks external ids up by ids. Nothing is kept in memory: each look-up reads the ids of all
// entries, which ranks share out, so it is one for many ids.
class ExternalIds {
 public:
  // The index must outlive it. Local; throws Error(data).
  ExternalIds(Comm& comm, const IndexFolder& index);

  ExternalIdType type() const { return metadata_.external_ids(); }

  // What the root's `ids` are called, on the root, integers in decimal; nothing elsewhere. Ids
  // below 0 are called "". Collective; there must be external ids. Throws Error on all ranks.
  std::vector<std::string> find(std::span<const std::int64_t> ids);

 private:
  std::vector<std::byte> find_mine(std::span<const std::int64_t> wanted) const;

  Comm& comm_;
  const IndexFolder& index_;
  MetadataColumns metadata_;
  Range entries_;  // this rank's
};

}  // namespace tutti
