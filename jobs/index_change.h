// A change of an index in its folder: held by one job at a time, made once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "runtime/data/commit.h"
#include "runtime/data/run_folder.h"

namespace tutti {

// What a change has done, as the index's metadata and a run's result tell it.
struct ChangeCounts {
  std::int64_t added = 0, deleted = 0, replaced = 0;
};

// New vectors of a change.
struct NewSegment {
  std::int64_t shards = 0, first_id = 0, end_id = 0;
  std::string columns_file;    // "" where there is none
  std::string vectors_digest;  // of what they were made of
};

// Holds the index's folder from the constructor on: no other change of it begins, nor does a job
// whose run folder it is. All functions are collective but for those named local_*, and throw Error
// on all ranks.
class IndexChange {
 public:
  // Throws Error(usage) where another job holds the index, or the run's folder is the index. Then
  // removes what a change that did not end has left.
  IndexChange(JobContext& context, const std::filesystem::path& folder);

  // As it was before the change.
  const IndexFolder& index() const { return *index_; }

  // What this run has done to the index already, in a start that was killed or has ended. `key`: a
  // digest of all that the change follows from, but for the index.
  std::optional<ChangeCounts> find_done(const std::string& key);

  // Names for the change's files.
  std::string deleted_name() const;
  std::string columns_name() const;

  // Makes the change with what the ranks have written into the index's folder; once.
  Manifest commit(const std::string& key, const ChangeCounts& counts,
                  const std::optional<NewSegment>& segment, const ArtefactParts& mine);

 private:
  nlohmann::json metadata_after(const std::string& digest, const ChangeCounts& counts,
                                const std::optional<NewSegment>& segment) const;
  std::int64_t number() const;

  JobContext& context_;
  Comm& comm_;
  std::filesystem::path folder_;
  std::optional<RunFolder> held_;
  std::optional<IndexFolder> index_;
};

}  // namespace tutti
