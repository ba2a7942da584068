// The metadata of vectors into the columns of a shard.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/data/metadata_input.h"
#include "runtime/data/schema.h"
#include "runtime/data/shard_writer.h"

namespace tutti {

// The columns that metadata add to a table with a row a vector: those of the metadata, in that
// order, and "external_id" where there is one.
std::vector<ColumnSchema> metadata_schemas(std::span<const MetadataColumn> columns,
                                           ExternalIdType id);

// Appends values to the column `to` of a shard, which is schema_of(column)'s. Local; Error(io).
void append_values(ShardWriter& writer, std::size_t to, const MetadataColumn& column,
                   const ColumnValues& values);

// A batch of rows at a time: read, then write. Local; errors of MetadataReader. The input must
// outlive it.
class MetadataSharder {
 public:
  // `first`: the row that the first batch begins with.
  MetadataSharder(const MetadataInput& input, std::int64_t first);

  // The rows behind those of the last batch; those in `kept`, which ascend, are to be written.
  void read(Range rows, std::span<const std::int64_t> kept);
  void write(ShardWriter& writer) const;

 private:
  void clear();
  void take(const MetadataRecord& record);
  void take_tags(std::size_t column, const MetadataValue& value);
  void write_ids(ShardWriter& writer) const;

  const MetadataInput& input_;
  MetadataReader reader_;
  // The batch.
  std::vector<ColumnValues> values_;
  std::vector<std::int64_t> ids_;  // external ones: these or those
  std::vector<std::string> id_texts_;
};

}  // namespace tutti
