// Writes one shard of an artefact: tables of columns, in one HDF5 file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "runtime/data/commit.h"
#include "runtime/data/schema.h"

namespace tutti {

// Takes a shard column by column, each in order of rows; columns advance independently and end at
// their table's rows. Local; one thread. Throws Error(io). Destroyed before finish(), it leaves
// nothing behind.
class ShardWriter {
 public:
  // Rows not known beforehand. What is appended is kept in up to `memory_bytes` of memory, and
  // beyond that in spool files beside the shard, until finish() lays the shard out; the disk holds
  // a shard twice while it does.
  ShardWriter(std::filesystem::path folder, std::int64_t index, std::vector<TableSchema> tables,
              std::int64_t memory_bytes);
  // Rows known, one count a table, and no ragged columns: what is appended goes to its place in the
  // file at once. A full disk shows here.
  ShardWriter(std::filesystem::path folder, std::int64_t index, std::vector<TableSchema> tables,
              const std::vector<std::int64_t>& rows);
  ~ShardWriter();
  ShardWriter(ShardWriter&&) noexcept;

  // What append takes: the number of a column over all tables. CHECKs that it exists.
  std::size_t column(std::string_view table, std::string_view column) const;

  // Whole rows of a fixed column, row-major. T must be as wide as the column's type.
  template <class T>
  void append(std::size_t column, std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    append_rows(column, std::as_bytes(values), sizeof(T));
  }
  // One row of a ragged column.
  template <class T>
  void append_ragged(std::size_t column, std::span<const T> row) {
    static_assert(std::is_trivially_copyable_v<T>);
    append_ragged_row(column, std::as_bytes(row), sizeof(T));
  }

  // Rows that a column has so far.
  std::int64_t rows(std::size_t column) const;

  // CHECKs that the columns of each table have the same rows, and makes the shard durable. Once.
  ShardRecord finish();

 private:
  void append_rows(std::size_t column, std::span<const std::byte> data, std::size_t element_bytes);
  void append_ragged_row(std::size_t column, std::span<const std::byte> data,
                         std::size_t element_bytes);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tutti
