#include "runtime/data/shard_writer.h"

#include <algorithm>
#include <optional>

#include "runtime/base/check.h"
#include "runtime/data/paths.h"
#include "runtime/data/spool.h"
#include "runtime/io/extent_file.h"

namespace tutti {
namespace {

// A spool's memory is worth having from here on, whatever the budget.
constexpr std::int64_t kLeastSpoolBytes = 64 << 10;

struct Column {
  std::size_t table;
  ColumnSchema schema;
  std::int64_t rows = 0;
  std::optional<Spool> values, offsets;  // where rows are not known beforehand

  std::int64_t row_bytes() const { return std::int64_t(size_of(schema.dtype)) * schema.width; }
};

std::vector<std::int64_t> shape_of(const ColumnSchema& column, std::int64_t rows) {
  if (column.kind == ColumnKind::vector) return {rows, column.width};
  return {rows};
}

std::span<const std::byte> bytes_of(const std::int64_t& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

struct ShardWriter::State {
  std::filesystem::path folder;
  std::int64_t index;
  std::vector<TableSchema> tables;
  std::vector<Column> columns = {};
  std::optional<ExtentWriter> file = {};  // where rows are known, from the start
  std::vector<std::int64_t> rows = {};    // one a table, where known

  State(std::filesystem::path where, std::int64_t shard, std::vector<TableSchema> schemas)
      : folder(std::move(where)), index(shard), tables(std::move(schemas)) {
    for (std::size_t t = 0; t < tables.size(); ++t)
      for (const auto& column : tables[t].columns) columns.push_back({t, column, 0, {}, {}});
  }

  std::filesystem::path path() const { return folder / shard_file(index); }
  void open_spools(std::int64_t memory_bytes);
  void open_file();
  void settle_rows();
  void lay_out();
};

void ShardWriter::State::open_spools(std::int64_t memory_bytes) {
  std::int64_t spools = 0;
  for (const auto& column : columns) spools += column.schema.kind == ColumnKind::ragged ? 2 : 1;
  const std::int64_t each =
      std::max(kLeastSpoolBytes, memory_bytes / std::max<std::int64_t>(spools, 1));
  std::int64_t number = 0;
  for (auto& column : columns) {
    column.values.emplace(folder / spool_file(index, number++), each);
    if (column.schema.kind != ColumnKind::ragged) continue;
    column.offsets.emplace(folder / spool_file(index, number++), each);
    column.offsets->append(bytes_of(0));
  }
}

void ShardWriter::State::open_file() {
  std::vector<ColumnSpec> specs;
  for (const auto& column : columns) {
    const TableSchema& table = tables[column.table];
    const std::int64_t table_rows = rows[column.table];
    if (column.schema.kind != ColumnKind::ragged) {
      specs.push_back({column_dataset(table, column.schema),
                       column.schema.dtype,
                       shape_of(column.schema, table_rows),
                       {}});
      continue;
    }
    CHECK(column.values, "a ragged column's values cannot be known beforehand");
    specs.push_back({column_dataset(table, column.schema),
                     column.schema.dtype,
                     {column.values->bytes() / column.row_bytes()},
                     {}});
    specs.push_back({offsets_dataset(table, column.schema), DType::i64, {table_rows + 1}, {}});
  }
  file.emplace(path(), std::move(specs));
}

void ShardWriter::State::settle_rows() {
  if (rows.empty()) {
    rows.resize(tables.size(), 0);
    for (const auto& column : columns) rows[column.table] = column.rows;
  }
  for (const auto& column : columns)
    CHECK(column.rows == rows[column.table], tables[column.table].name + "." + column.schema.name);
}

void ShardWriter::State::lay_out() {
  open_file();
  std::size_t extent = 0;
  const auto move = [&](std::optional<Spool>& spool) {
    spool->drain([&](std::span<const std::byte> piece) { file->append(extent, piece); });
    spool.reset();
    ++extent;
  };
  for (auto& column : columns) {
    move(column.values);
    if (column.offsets) move(column.offsets);
  }
}

ShardWriter::ShardWriter(std::filesystem::path folder, std::int64_t index,
                         std::vector<TableSchema> tables, std::int64_t memory_bytes)
    : state_(std::make_unique<State>(std::move(folder), index, std::move(tables))) {
  state_->open_spools(memory_bytes);
}

ShardWriter::ShardWriter(std::filesystem::path folder, std::int64_t index,
                         std::vector<TableSchema> tables, const std::vector<std::int64_t>& rows)
    : state_(std::make_unique<State>(std::move(folder), index, std::move(tables))) {
  CHECK(rows.size() == state_->tables.size());
  state_->rows = rows;
  state_->open_file();
}

ShardWriter::~ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;

std::size_t ShardWriter::column(std::string_view table, std::string_view column) const {
  for (std::size_t i = 0; i < state_->columns.size(); ++i) {
    const Column& candidate = state_->columns[i];
    if (state_->tables[candidate.table].name == table && candidate.schema.name == column) return i;
  }
  check_failed("the shard has this column", __FILE__, __LINE__,
               std::string(table) + "." + std::string(column));
}

std::int64_t ShardWriter::rows(std::size_t column) const { return state_->columns.at(column).rows; }

void ShardWriter::append_rows(std::size_t column, std::span<const std::byte> data,
                              std::size_t element_bytes) {
  Column& state = state_->columns.at(column);
  CHECK(state.schema.kind != ColumnKind::ragged && element_bytes == size_of(state.schema.dtype),
        state.schema.name);
  CHECK(std::int64_t(data.size()) % state.row_bytes() == 0, state.schema.name);
  if (state.values)
    state.values->append(data);
  else
    state_->file->append(column, data);  // without ragged columns, columns and extents are one
  state.rows += std::int64_t(data.size()) / state.row_bytes();
}

void ShardWriter::append_ragged_row(std::size_t column, std::span<const std::byte> data,
                                    std::size_t element_bytes) {
  Column& state = state_->columns.at(column);
  CHECK(state.schema.kind == ColumnKind::ragged && element_bytes == size_of(state.schema.dtype),
        state.schema.name);
  state.values->append(data);
  state.offsets->append(bytes_of(state.values->bytes() / state.row_bytes()));
  ++state.rows;
}

ShardRecord ShardWriter::finish() {
  state_->settle_rows();
  if (!state_->file) state_->lay_out();
  return {state_->index, state_->rows, state_->file->finish()};
}

}  // namespace tutti
