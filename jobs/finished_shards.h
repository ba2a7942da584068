// The shards of an artefact that are done, also by starts that were killed or stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/commit.h"
#include "runtime/data/shard_record.h"

namespace tutti {

// This rank's share of them. A shard is kept where all that it follows from is the same and every
// byte of it is as it was recorded.
class FinishedShards {
 public:
  // Looks for shards `mine` in the folder and makes room for the others (begin_artefact). `key`: a
  // digest of all that the shards follow from. Collective; throws Error(io) on all ranks.
  FinishedShards(Comm& comm, std::filesystem::path folder, Range mine, std::string key);

  // The next shard of mine that is not done, or -1. Local.
  std::int64_t local_next() const;
  // A shard that is durable from now on: a later start keeps it. Local; throws Error(io).
  void local_add(FinishedShard shard);

  std::span<const FinishedShard> all() const { return finished_; }
  // Those that this start has made.
  std::span<const FinishedShard> made() const { return all().subspan(std::size_t(kept_)); }
  std::int64_t kept_by_all() const { return kept_by_all_; }
  std::vector<ShardRecord> records() const;

  // Once the artefact exists: removes what only a later start would need. Collective.
  void forget();

 private:
  Comm& comm_;
  std::filesystem::path folder_;
  Range mine_;
  std::string key_;
  std::vector<FinishedShard> finished_;  // the first `kept_` by an earlier start
  std::int64_t kept_ = 0, kept_by_all_ = 0;
};

}  // namespace tutti
