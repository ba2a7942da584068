#include "runtime/data/metadata_columns.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"

namespace tutti {

std::vector<MetadataColumn> load_metadata_columns(const std::filesystem::path& folder,
                                                  const Manifest& manifest) {
  const FileRecord* record = manifest.find_file(kColumnsFile);
  if (!record) return {};
  const std::filesystem::path file = folder / kColumnsFile;
  ExtentReader(file, *record).verify_all();
  return columns_from_text(read_file(file), file.string());
}

MetadataColumns::MetadataColumns(const Dataset& dataset, std::string_view table)
    : dataset_(dataset),
      table_(table),
      rows_(dataset.rows(table)),
      columns_(load_metadata_columns(dataset.folder(), dataset.manifest())) {
  for (const MetadataColumn& column : columns_) {
    places_.push_back(dataset.column(table_, column.name));
    const ColumnSchema wanted = schema_of(column);
    if (places_.back().dtype != wanted.dtype || places_.back().kind != wanted.kind)
      throw Error(ExitCode::data,
                  fmt::format("the column {} is no {}, as {} has it", column.name,
                              name_of(column.type), kColumnsFile),
                  dataset.folder().string());
  }
  find_external_ids(*dataset.manifest().find_table(table));
}

void MetadataColumns::find_external_ids(const TableEntry& table) {
  const int id = table.schema.find(kExternalIdColumn);
  if (id < 0) return;
  const ColumnSchema& schema = table.schema.columns[std::size_t(id)];
  if (schema == ColumnSchema::scalar(kExternalIdColumn, DType::i64))
    id_type_ = ExternalIdType::integer;
  else if (schema == ColumnSchema::ragged(kExternalIdColumn, DType::u8))
    id_type_ = ExternalIdType::text;
  else
    throw Error(ExitCode::data, "external ids are neither integers nor strings",
                dataset_.folder().string());
}

ColumnValues MetadataColumns::read(std::size_t column, Range rows) const {
  const Dataset::Column& place = places_[column];
  const auto fixed = [&]<class T>(std::vector<T>& values) {
    values.resize(std::size_t(rows.size()));
    dataset_.read(place, rows.begin, rows.size(), std::span(values));
  };
  ColumnValues values;
  switch (columns_[column].type) {
    case MetadataType::integer:
      fixed(values.integers);
      break;
    case MetadataType::real:
      fixed(values.reals);
      break;
    case MetadataType::category:
      fixed(values.codes);
      break;
    case MetadataType::tags:
      dataset_.read_ragged(place, rows.begin, rows.size(), values.offsets, values.codes);
      break;
  }
  check_codes(column, rows, values);
  return values;
}

// Evaluation looks codes up without asking, so none may be out of range.
void MetadataColumns::check_codes(std::size_t column, Range rows,
                                  const ColumnValues& values) const {
  const auto end = std::int32_t(columns_[column].values.size());
  const auto bad = std::ranges::find_if(
      values.codes, [&](std::int32_t code) { return code < kNullCode || code >= end; });
  if (bad == values.codes.end()) return;
  const std::int64_t at = bad - values.codes.begin();
  const std::int64_t row = values.offsets.empty() ? at
                                                  : std::ranges::upper_bound(values.offsets, at) -
                                                        values.offsets.begin() - 1;
  throw Error(
      ExitCode::data,
      fmt::format("the code {} of the column {} is none of its {} values", *bad,
                  columns_[column].name, end),
      fmt::format("{}, row {} of {}", dataset_.folder().string(), rows.begin + row, table_));
}

std::vector<ColumnValues> MetadataColumns::read(std::span<const std::size_t> wanted,
                                                Range rows) const {
  std::vector<ColumnValues> values(columns_.size());
  for (const std::size_t column : wanted) values[column] = read(column, rows);
  return values;
}

std::vector<std::string> MetadataColumns::read_external_ids(Range rows) const {
  CHECK(id_type_ != ExternalIdType::none);
  const Dataset::Column place = dataset_.column(table_, kExternalIdColumn);
  std::vector<std::string> ids;
  if (id_type_ == ExternalIdType::integer) {
    std::vector<std::int64_t> integers(std::size_t(rows.size()));
    dataset_.read(place, rows.begin, rows.size(), std::span(integers));
    for (const std::int64_t id : integers) ids.push_back(std::to_string(id));
    return ids;
  }
  std::vector<std::int64_t> offsets;
  std::vector<char> bytes;
  dataset_.read_ragged(place, rows.begin, rows.size(), offsets, bytes);
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    ids.emplace_back(bytes.data() + offsets[i], bytes.data() + offsets[i + 1]);
  return ids;
}

}  // namespace tutti
