#include "jobs/carried_columns.h"

#include <algorithm>
#include <cstring>

#include "runtime/data/metadata_columns.h"
#include "runtime/data/metadata_sharder.h"
#include "runtime/data/paths.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

constexpr const char* kFrom = "vectors";
constexpr const char* kTo = "entries";

// A column's values as stored; of a ragged one also where each row's begin.
struct StoredColumn {
  std::size_t element_bytes = 0;
  std::vector<std::byte> values;
  std::vector<std::int64_t> offsets;
};

// Calls `body` with a value of some type that is as wide as the column's elements, which is all
// that reading and writing ask for.
template <class Body>
void with_element(DType type, Body&& body) {
  switch (size_of(type)) {
    case 1:
      return body(std::uint8_t());
    case 4:
      return body(std::uint32_t());
    default:
      return body(std::uint64_t());
  }
}

StoredColumn read_column(const Dataset& vectors, const ColumnSchema& schema, Range rows) {
  StoredColumn stored{size_of(schema.dtype), {}, {}};
  const Dataset::Column column = vectors.column(kFrom, schema.name);
  with_element(schema.dtype, [&]<class T>(T) {
    std::vector<T> values;
    if (schema.kind == ColumnKind::ragged) {
      vectors.read_ragged(column, rows.begin, rows.size(), stored.offsets, values);
    } else {
      values.resize(std::size_t(rows.size()));
      vectors.read(column, rows.begin, rows.size(), std::span(values));
    }
    const auto bytes = std::as_bytes(std::span(values));
    stored.values.assign(bytes.begin(), bytes.end());
  });
  return stored;
}

void append_bytes(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// A ragged column's values stand behind their number.
void pack_row(const StoredColumn& column, std::size_t row, std::vector<std::byte>& to) {
  std::size_t begin = row, count = 1;
  if (!column.offsets.empty()) {
    const std::int64_t values = column.offsets[row + 1] - column.offsets[row];
    append_bytes(to, std::as_bytes(std::span(&values, 1)));
    begin = std::size_t(column.offsets[row]);
    count = std::size_t(values);
  }
  append_bytes(
      to,
      std::span(column.values).subspan(begin * column.element_bytes, count * column.element_bytes));
}

std::span<const std::byte> take(std::span<const std::byte>& row, std::size_t bytes) {
  const auto taken = row.first(bytes);
  row = row.subspan(bytes);
  return taken;
}

// Copied for what may not stand where a T can.
template <class T>
std::vector<T> values_in(std::span<const std::byte> bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::ranges::copy(bytes, std::as_writable_bytes(std::span(values)).begin());
  return values;
}

}  // namespace

CarriedColumns::CarriedColumns(const Dataset& vectors) : vectors_(vectors) {
  const MetadataColumns metadata(vectors, kFrom);
  schemas_ = metadata_schemas(metadata.columns(), metadata.external_ids());
  measure();
}

// By what they take in the shards, where offsets take what numbers of values take here.
void CarriedColumns::measure() {
  const Manifest& manifest = vectors_.manifest();
  const TableSchema& table = manifest.find_table(kFrom)->schema;
  std::int64_t bytes = 0;
  for (const FileRecord& file : manifest.files) {
    if (!is_shard_file(file.name)) continue;
    for (const ColumnSchema& column : schemas_)
      for (const std::string& dataset :
           {column_dataset(table, column), offsets_dataset(table, column)})
        if (const int extent = file.find(dataset); extent >= 0)
          bytes += file.extents[std::size_t(extent)].bytes;
  }
  const std::int64_t rows = std::max<std::int64_t>(1, vectors_.rows(kFrom));
  bytes_per_row_ = (bytes + rows - 1) / rows;
}

bool CarriedColumns::has_ragged() const {
  return std::ranges::find(schemas_, ColumnKind::ragged, &ColumnSchema::kind) != schemas_.end();
}

std::string CarriedColumns::columns_file() const {
  return vectors_.manifest().find_file(kColumnsFile) ? read_file(vectors_.folder() / kColumnsFile)
                                                     : "";
}

PackedRows CarriedColumns::read(Range rows) const {
  std::vector<StoredColumn> columns;
  for (const ColumnSchema& schema : schemas_)
    columns.push_back(read_column(vectors_, schema, rows));
  PackedRows packed;
  packed.offsets.push_back(0);
  for (std::int64_t row = 0; row < rows.size(); ++row) {
    for (const StoredColumn& column : columns) pack_row(column, std::size_t(row), packed.bytes);
    packed.offsets.push_back(std::int64_t(packed.bytes.size()));
  }
  return packed;
}

void CarriedColumns::append(ShardWriter& writer,
                            std::vector<std::span<const std::byte>> rows) const {
  for (const ColumnSchema& schema : schemas_) {
    const std::size_t to = writer.column(kTo, schema.name), each = size_of(schema.dtype);
    with_element(schema.dtype, [&]<class T>(T) {
      std::vector<std::byte> scalars;
      for (std::span<const std::byte>& row : rows) {
        if (schema.kind != ColumnKind::ragged) {
          append_bytes(scalars, take(row, each));
          continue;
        }
        const std::int64_t count = values_in<std::int64_t>(take(row, sizeof(count))).front();
        writer.append_ragged<T>(to, values_in<T>(take(row, std::size_t(count) * each)));
      }
      if (schema.kind != ColumnKind::ragged) writer.append<T>(to, values_in<T>(scalars));
    });
  }
}

}  // namespace tutti
