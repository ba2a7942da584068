// Where the documents of a dataset stand.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"

namespace tutti {

struct DocumentPlace {
  std::int64_t row = 0;  // of the documents table
  Range passages;        // rows of the passages table, at least one
};

// The documents of a shard that belong to a split and have passages, in order. Local. Throws
// Error(data) where a document's passages are none of its shard; errors as for Dataset.
std::vector<DocumentPlace> documents_of(const Dataset& dataset, std::int64_t shard,
                                        std::uint8_t split);

}  // namespace tutti
