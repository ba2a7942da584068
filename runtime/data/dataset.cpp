#include "runtime/data/dataset.h"

#include <algorithm>
#include <mutex>

#include "runtime/base/error.h"

namespace tutti {

struct Dataset::State {
  std::filesystem::path folder;
  Manifest manifest;
  std::vector<std::vector<std::int64_t>> first_row;  // by table, by shard, and the end
  std::mutex mutex;
  std::vector<std::unique_ptr<ShardReader>> shards;  // opened at first use, under the mutex

  State(std::filesystem::path where, Manifest what)
      : folder(std::move(where)),
        manifest(std::move(what)),
        shards(std::size_t(manifest.shards())) {
    for (const auto& table : manifest.tables) {
      auto& first = first_row.emplace_back(1, 0);
      for (std::int64_t rows : table.shard_rows) first.push_back(first.back() + rows);
    }
  }

  const ShardReader& shard(std::size_t index) {
    const std::lock_guard<std::mutex> guard(mutex);
    if (!shards[index])
      shards[index] = std::make_unique<ShardReader>(folder, manifest, std::int64_t(index));
    return *shards[index];
  }

  std::size_t table_index(std::string_view name) const {
    const TableEntry* table = manifest.find_table(name);
    if (table == nullptr)
      throw Error(ExitCode::data, "it has no table '" + std::string(name) + "'", folder.string());
    return std::size_t(table - manifest.tables.data());
  }

  // body(shard, first row within it, rows, rows of the range before it) for each shard that a range
  // of rows meets.
  template <class Body>
  void for_each_shard(const Column& column, std::int64_t begin, std::int64_t count, Body&& body) {
    CHECK(begin >= 0 && count >= 0 && begin + count <= column.rows);
    const auto& first = first_row[column.table];
    std::size_t at =
        std::size_t(std::upper_bound(first.begin(), first.end(), begin) - first.begin()) - 1;
    for (std::int64_t done = 0; done < count; ++at) {
      const std::int64_t local = begin + done - first[at];
      const std::int64_t rows = std::min(count - done, first[at + 1] - first[at] - local);
      if (rows == 0) continue;
      body(shard(at), local, rows, done);
      done += rows;
    }
  }
};

Dataset::Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;
Dataset::~Dataset() = default;

Dataset Dataset::open(const std::filesystem::path& folder, std::string_view kind) {
  Dataset dataset;
  dataset.state_ = std::make_unique<State>(folder, load_manifest(folder, kind));
  return dataset;
}

const Manifest& Dataset::manifest() const { return state_->manifest; }
const std::filesystem::path& Dataset::folder() const { return state_->folder; }

bool Dataset::has_table(std::string_view table) const {
  return state_->manifest.find_table(table) != nullptr;
}

std::int64_t Dataset::rows(std::string_view table) const {
  return state_->first_row[state_->table_index(table)].back();
}

Dataset::Column Dataset::column(std::string_view table, std::string_view name) const {
  const std::size_t table_index = state_->table_index(table);
  const TableSchema& schema = state_->manifest.tables[table_index].schema;
  const int index = schema.find(name);
  if (index < 0)
    throw Error(ExitCode::data,
                "its table " + schema.name + " has no column '" + std::string(name) + "'",
                state_->folder.string());
  const ColumnSchema& found = schema.columns[std::size_t(index)];
  return {table_index, std::size_t(index), found.dtype,
          found.kind,  found.width,        state_->first_row[table_index].back()};
}

Range Dataset::shard_rows(std::string_view table, std::int64_t shard) const {
  const auto& first = state_->first_row[state_->table_index(table)];
  CHECK(shard >= 0 && shard < state_->manifest.shards());
  return {first[std::size_t(shard)], first[std::size_t(shard) + 1]};
}

void Dataset::read_rows(const Column& column, std::int64_t begin, std::int64_t count,
                        std::span<std::byte> data) const {
  const std::int64_t row_bytes = column.width * std::int64_t(size_of(column.dtype));
  CHECK(std::int64_t(data.size()) == count * row_bytes);
  state_->for_each_shard(
      column, begin, count,
      [&](const ShardReader& shard, std::int64_t local, std::int64_t rows, std::int64_t done) {
        const auto piece =
            data.subspan(std::size_t(done * row_bytes), std::size_t(rows * row_bytes));
        shard.read_rows(column.table, column.column, local, rows, piece);
      });
}

void Dataset::read_offsets(const Column& column, std::int64_t begin, std::int64_t count,
                           std::vector<std::int64_t>& offsets) const {
  offsets.assign(std::size_t(count) + 1, 0);
  state_->for_each_shard(
      column, begin, count,
      [&](const ShardReader& shard, std::int64_t local, std::int64_t rows, std::int64_t done) {
        const auto piece = std::span(offsets).subspan(std::size_t(done), std::size_t(rows) + 1);
        const std::int64_t before = piece.front();
        shard.read_offsets(column.table, column.column, local, piece);
        const std::int64_t shift = before - piece.front();
        for (auto& offset : piece) offset += shift;
      });
}

void Dataset::read_values(const Column& column, std::int64_t begin, std::int64_t count,
                          std::span<std::byte> data) const {
  const std::int64_t bytes = std::int64_t(size_of(column.dtype));
  state_->for_each_shard(
      column, begin, count,
      [&](const ShardReader& shard, std::int64_t local, std::int64_t rows, std::int64_t) {
        std::int64_t first = 0, last = 0;
        shard.read_offsets(column.table, column.column, local, std::span(&first, 1));
        shard.read_offsets(column.table, column.column, local + rows, std::span(&last, 1));
        const auto piece = data.first(std::size_t((last - first) * bytes));
        shard.read_values(column.table, column.column, first, last - first, piece);
        data = data.subspan(piece.size());
      });
}

}  // namespace tutti
