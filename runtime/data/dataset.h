// The tables of an artefact as one, over all its shards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/comm/partition.h"
#include "runtime/data/manifest.h"
#include "runtime/data/shard_reader.h"

namespace tutti {

// Reads rows by their global number: row r of a table is in the shard that holds it. Nothing is
// kept in memory but what is asked for. Shards are opened at first use and stay open. Local;
// threads may share one. Errors as for ShardReader.
class Dataset {
 public:
  // A column found by name: what reading takes.
  struct Column {
    std::size_t table = 0;
    std::size_t column = 0;
    DType dtype = DType::u8;
    ColumnKind kind = ColumnKind::scalar;
    std::int64_t width = 1;  // elements a row, 1 for a ragged column
    std::int64_t rows = 0;   // over all shards
  };

  // Reads the manifest; errors as for load_manifest. Where ranks must agree, call it inside
  // Comm::attempt.
  static Dataset open(const std::filesystem::path& folder, std::string_view kind = "");
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;
  ~Dataset();

  const Manifest& manifest() const;
  const std::filesystem::path& folder() const;

  bool has_table(std::string_view table) const;
  // Throws Error(data) where the artefact has no such table or column.
  std::int64_t rows(std::string_view table) const;
  Column column(std::string_view table, std::string_view column) const;
  // Global rows that shard `shard` holds of a table.
  Range shard_rows(std::string_view table, std::int64_t shard) const;

  // Rows [begin, begin + count) of a fixed column, row-major, into count * width elements.
  template <class T>
  void read(const Column& column, std::int64_t begin, std::int64_t count, std::span<T> data) const {
    CHECK(sizeof(T) == size_of(column.dtype));
    read_rows(column, begin, count, std::as_writable_bytes(data));
  }

  // Rows [begin, begin + count) of a ragged column: row begin + i is values[offsets[i], offsets[i +
  // 1]). Both vectors are resized. One call a range is much faster than one a row.
  template <class T>
  void read_ragged(const Column& column, std::int64_t begin, std::int64_t count,
                   std::vector<std::int64_t>& offsets, std::vector<T>& values) const {
    CHECK(sizeof(T) == size_of(column.dtype));
    read_offsets(column, begin, count, offsets);
    values.resize(std::size_t(offsets.back()));
    read_values(column, begin, count, std::as_writable_bytes(std::span(values)));
  }
  // The offsets alone: count + 1 of them, from 0.
  void read_offsets(const Column& column, std::int64_t begin, std::int64_t count,
                    std::vector<std::int64_t>& offsets) const;

 private:
  Dataset();
  void read_rows(const Column& column, std::int64_t begin, std::int64_t count,
                 std::span<std::byte> data) const;
  void read_values(const Column& column, std::int64_t begin, std::int64_t count,
                   std::span<std::byte> data) const;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tutti
