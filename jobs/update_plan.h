// What a change does to an index: which entries go, and which new vectors come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobs/entry_lookup.h"
#include "jobs/index_folder.h"
#include "jobs/vector_reader.h"
#include "runtime/comm/comm.h"
#include "runtime/data/id_file.h"

namespace tutti {

// What to do about a name that is not as it should be: end with Error(data), or go on.
enum class OnDuplicate { fail, replace, skip };

struct UpdateRequest {
  std::optional<IdFile> gone;                    // to be deleted
  std::string gone_where;                        // a filter; those that it is true of are deleted
  bool skip_unknown = false;                     // ids that no entry has are no error
  VectorReader* vectors = nullptr;               // to be added
  bool skip_bad = false;                         // leave vectors out that cannot be indexed
  OnDuplicate on_duplicate = OnDuplicate::fail;  // a vector whose external id an entry has
  std::int64_t memory_bytes = 0;
};

struct UpdatePlan {
  std::vector<std::int64_t> gone;          // rows of the table `entries`, ascending; on all ranks
  std::vector<std::int64_t> left_out;      // rows of this rank's vectors, ascending
  std::int64_t deleted = 0, replaced = 0;  // which make up `gone`
  std::int64_t unknown = 0;                // ids that no entry has
  std::int64_t bad = 0, duplicates = 0;    // vectors left out, over all ranks
  std::int64_t added = 0;                  // the others
};

// First what is to be deleted goes, then vectors are added to what is left. Writes nothing. The
// plan does not follow from the number of ranks. Collective; throws Error on all ranks.
UpdatePlan plan_update(Comm& comm, const IndexFolder& index, const UpdateRequest& request);

}  // namespace tutti
