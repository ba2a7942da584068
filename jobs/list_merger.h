// The lists of an index's segments as one list each, without the entries that are deleted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "jobs/index_folder.h"
#include "jobs/index_lists.h"
#include "runtime/comm/partition.h"
#include "runtime/data/metadata_columns.h"
#include "runtime/data/shard_writer.h"

namespace tutti {

// Writes shards of an index of one segment. A shard's bytes follow from the index and the number of
// shards alone. Local; throws Error.
class ListMerger {
 public:
  // The index must outlive it. `memory_bytes`: for entries on their way.
  ListMerger(const IndexFolder& index, std::int64_t shards, std::int64_t memory_bytes);

  std::vector<TableSchema> tables() const;
  // What columns.json is to be, or "".
  std::string columns_file() const;
  // Entries that a shard will have.
  std::int64_t entries_of(std::int64_t shard) const;
  ShardRecord write_shard(const std::filesystem::path& folder, std::int64_t shard) const;

 private:
  ShardWriter open_shard(const std::filesystem::path& folder, std::int64_t shard) const;
  void append_entries(Range rows, ShardWriter& writer) const;
  void append_external_ids(Range rows, ShardWriter& writer) const;

  const IndexFolder& index_;
  std::int64_t memory_bytes_, piece_rows_;
  IndexLists lists_;
  std::vector<std::int64_t> sizes_;  // of each list
  std::vector<Range> shard_lists_;
  MetadataColumns metadata_;
};

}  // namespace tutti
