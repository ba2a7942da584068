// What is known of a finished shard before the manifest exists: it lets a run that was killed go on
// behind its last shard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "runtime/data/sharder.h"

namespace tutti {

struct FinishedShard {
  ShardRecord record;
  ShardCounts counts;
};

// Writes shard-NNNNN.json beside a shard that is durable. `key`: a digest of all that the shard
// follows from. Local.
void save_shard_record(const std::filesystem::path& folder, const FinishedShard& shard,
                       const std::string& key);

// The finished shard `index`, if there is a record with this key and every byte of the shard is as
// recorded; otherwise nothing. Reads the shard whole. Local.
std::optional<FinishedShard> load_shard_record(const std::filesystem::path& folder,
                                               std::int64_t index, const std::string& key);

}  // namespace tutti
