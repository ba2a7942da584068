// What is known of vectors besides themselves, on its way from the table of vectors to the entries
// of an index: a row as bytes, whatever its columns are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/schema.h"
#include "runtime/data/shard_writer.h"

namespace tutti {

// Row i is bytes [offsets[i], offsets[i + 1]).
struct PackedRows {
  std::vector<std::byte> bytes;
  std::vector<std::int64_t> offsets;

  std::span<const std::byte> row(std::int64_t index) const {
    return std::span(bytes).subspan(
        std::size_t(offsets[std::size_t(index)]),
        std::size_t(offsets[std::size_t(index) + 1] - offsets[std::size_t(index)]));
  }
};

// The columns of metadata and the external ids of an artefact's table `vectors`. Local; threads may
// share one.
class CarriedColumns {
 public:
  // The dataset must outlive it. Throws Error(data) as MetadataColumns does.
  explicit CarriedColumns(const Dataset& vectors);

  // What they add to the table `entries`; nothing where the vectors have no metadata.
  const std::vector<ColumnSchema>& schemas() const { return schemas_; }
  bool has_ragged() const;
  // The text of columns.json, or "" where there is none. Throws Error(io).
  std::string columns_file() const;
  // What a row takes when it is packed, on average.
  std::int64_t bytes_per_row() const { return bytes_per_row_; }

  // Rows of the table `vectors`. Errors of Dataset.
  PackedRows read(Range rows) const;
  // Appends packed rows to the table `entries` of a shard. Throws Error(io).
  void append(ShardWriter& writer, std::vector<std::span<const std::byte>> rows) const;

 private:
  void measure();

  const Dataset& vectors_;
  std::vector<ColumnSchema> schemas_;
  std::int64_t bytes_per_row_ = 0;
};

}  // namespace tutti
