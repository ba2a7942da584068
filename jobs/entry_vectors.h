// Vectors of an index that stay in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "kernels/core/arena.h"
#include "kernels/vector/candidates.h"
#include "runtime/comm/partition.h"

namespace tutti {

// Those of consecutive rows of the table `entries`, in their order, with their ids. Local.
class EntryVectors {
 public:
  // Reads and verifies them; of some only, where `wanted` is given. Throws Error(data) naming file
  // and block where the index is damaged.
  EntryVectors(const IndexFolder& index, Range entries, const EntrySet* wanted = nullptr);

  std::int64_t count() const { return std::int64_t(ids_.size()); }
  VectorRows rows() const;
  // Rows by their places, with the ids. Valid as long as this is.
  PlacedVectors placed() const { return {rows(), ids_}; }

 private:
  DType type_;
  std::int64_t dim_;
  AlignedBuffer<std::byte> vectors_;
  std::vector<std::int64_t> ids_;
};

}  // namespace tutti
