// Reads one shard of an artefact, verified, by ranges of rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "runtime/data/manifest.h"
#include "runtime/io/extent_file.h"

namespace tutti {

// Local; threads may share one. Throws Error(data) naming file, dataset and block where the disk
// does not hold what the manifest says, Error(io) where it cannot be read. Tables and columns are
// indices into the manifest's.
class ShardReader {
 public:
  // Opens shard `index`. The manifest must outlive the reader.
  ShardReader(const std::filesystem::path& folder, const Manifest& manifest, std::int64_t index);

  std::int64_t rows(std::size_t table) const;

  // Rows [begin, begin + count) of a fixed column, row-major; `data` must be exactly that long.
  void read_rows(std::size_t table, std::size_t column, std::int64_t begin, std::int64_t count,
                 std::span<std::byte> data) const;
  // The offsets of rows [begin, begin + count] of a ragged column: count + 1 ascending positions
  // among the column's values in this shard.
  void read_offsets(std::size_t table, std::size_t column, std::int64_t begin,
                    std::span<std::int64_t> offsets) const;
  // Values [begin, begin + count) of a ragged column.
  void read_values(std::size_t table, std::size_t column, std::int64_t begin, std::int64_t count,
                   std::span<std::byte> data) const;

  const ExtentReader& file() const { return file_; }

 private:
  struct Column {
    int values = -1;   // extent of the values
    int offsets = -1;  // of the offsets; -1 for a fixed column
  };
  Column locate(const TableSchema& table, const ColumnSchema& column, std::int64_t rows) const;
  int locate_extent(const std::string& dataset, DType dtype,
                    const std::vector<std::int64_t>& shape) const;

  const Manifest* manifest_;
  std::int64_t index_;
  ExtentReader file_;
  std::vector<std::vector<Column>> columns_;  // by table, by column
};

}  // namespace tutti
