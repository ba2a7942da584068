#include "runtime/data/schema.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "runtime/base/error.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr const char* kKindNames[] = {"scalar", "vector", "ragged"};

// Names become parts of HDF5 paths.
std::string checked_name(const json& value, const std::string& place) {
  const auto name = value.get<std::string>();
  const auto allowed = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  if (name.empty() || !std::all_of(name.begin(), name.end(), allowed))
    throw Error(ExitCode::data, "'" + name + "' is no name for a table or column", place);
  return name;
}

ColumnKind kind_from_name(const std::string& name, const std::string& place) {
  for (int i = 0; i < 3; ++i)
    if (name == kKindNames[i]) return ColumnKind(i);
  throw Error(ExitCode::data, "unknown kind of column '" + name + "'", place);
}

ColumnSchema column_from_json(const json& value, const std::string& place) {
  ColumnSchema column;
  column.name = checked_name(value.at("name"), place);
  const auto dtype = value.at("dtype").get<std::string>();
  try {
    column.dtype = dtype_from_name(dtype);
  } catch (const std::invalid_argument&) {
    throw Error(ExitCode::data, "unknown element type '" + dtype + "'", place);
  }
  column.kind = kind_from_name(value.at("kind").get<std::string>(), place);
  column.width = integer_of(value.at("width"));
  if (column.width < 1 || (column.kind != ColumnKind::vector && column.width != 1))
    throw Error(ExitCode::data, "column " + column.name + " has an impossible width", place);
  return column;
}

}  // namespace

ColumnSchema ColumnSchema::scalar(std::string name, DType dtype) {
  return {std::move(name), dtype, ColumnKind::scalar, 1};
}
ColumnSchema ColumnSchema::vector(std::string name, DType dtype, std::int64_t width) {
  return {std::move(name), dtype, ColumnKind::vector, width};
}
ColumnSchema ColumnSchema::ragged(std::string name, DType dtype) {
  return {std::move(name), dtype, ColumnKind::ragged, 1};
}

int TableSchema::find(std::string_view column) const {
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (columns[i].name == column) return int(i);
  return -1;
}

std::string column_dataset(const TableSchema& table, const ColumnSchema& column) {
  const std::string dataset = "/" + table.name + "/" + column.name;
  return column.kind == ColumnKind::ragged ? dataset + "/values" : dataset;
}

std::string offsets_dataset(const TableSchema& table, const ColumnSchema& column) {
  return "/" + table.name + "/" + column.name + "/offsets";
}

std::string_view name_of(ColumnKind kind) { return kKindNames[int(kind)]; }

json to_json(const TableSchema& table) {
  json columns = json::array();
  for (const auto& column : table.columns)
    columns.push_back({{"name", column.name},
                       {"dtype", name_of(column.dtype)},
                       {"kind", name_of(column.kind)},
                       {"width", column.width}});
  return {{"name", table.name}, {"columns", columns}};
}

TableSchema table_schema_from_json(const json& value, const std::string& place) {
  try {
    TableSchema table;
    table.name = checked_name(value.at("name"), place);
    const std::string at = "table " + table.name + " of " + place;
    for (const json& entry : value.at("columns")) {
      ColumnSchema column = column_from_json(entry, at);
      if (table.find(column.name) >= 0)
        throw Error(ExitCode::data, "two columns are called " + column.name, at);
      table.columns.push_back(std::move(column));
    }
    return table;
  } catch (const json::exception& failure) {
    throw Error(ExitCode::data, std::string("malformed table: ") + failure.what(), place);
  }
}

}  // namespace tutti
