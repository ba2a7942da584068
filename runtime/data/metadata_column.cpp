#include "runtime/data/metadata_column.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 4> kTypeNames = {"integer", "float", "category", "tags"};
// What a table of vectors or of an index's entries has anyway.
constexpr std::array<std::string_view, 3> kReserved = {"vector", kIdColumn, kExternalIdColumn};

std::optional<MetadataType> type_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kTypeNames.size(); ++i)
    if (name == kTypeNames[i]) return MetadataType(i);
  return std::nullopt;
}

// As for any column of a table: names become parts of HDF5 paths.
bool is_column_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && std::ranges::all_of(name, allowed);
}

bool is_reserved(std::string_view name) {
  return std::ranges::find(kReserved, name) != kReserved.end();
}

MetadataColumn column_from_json(const json& entry, const std::string& place) {
  MetadataColumn column{entry.at("name").get<std::string>()};
  const auto type = type_from_name(entry.at("type").get<std::string>());
  if (!type || !is_column_name(column.name) || is_reserved(column.name))
    throw Error(ExitCode::data, "'" + column.name + "' is no column of metadata", place);
  column.type = *type;
  if (!column.has_codes()) return column;
  column.values = entry.at("values").get<std::vector<std::string>>();
  if (std::ranges::adjacent_find(column.values, std::greater_equal<>()) != column.values.end())
    throw Error(ExitCode::data, "the values of " + column.name + " do not ascend", place);
  return column;
}

}  // namespace

std::string_view name_of(MetadataType type) { return kTypeNames[std::size_t(type)]; }

std::int32_t MetadataColumn::code_of(std::string_view value) const {
  const auto at = std::ranges::lower_bound(values, value);
  return at != values.end() && *at == value ? std::int32_t(at - values.begin()) : kNoCode;
}

std::vector<ColumnView> views_of(std::span<const ColumnValues> columns) {
  std::vector<ColumnView> views;
  for (const ColumnValues& column : columns) views.push_back(column.view());
  return views;
}

ColumnSchema schema_of(const MetadataColumn& column) {
  switch (column.type) {
    case MetadataType::integer:
      return ColumnSchema::scalar(column.name, DType::i64);
    case MetadataType::real:
      return ColumnSchema::scalar(column.name, DType::f64);
    case MetadataType::category:
      return ColumnSchema::scalar(column.name, DType::i32);
    case MetadataType::tags:
      break;
  }
  return ColumnSchema::ragged(column.name, DType::i32);
}

MetadataColumn parse_metadata_column(const std::string& text, const std::string& place) {
  const std::size_t colon = text.rfind(':');
  const std::string name = text.substr(0, colon);
  const auto type =
      colon == std::string::npos ? std::nullopt : type_from_name(text.substr(colon + 1));
  if (!type)
    throw Error(ExitCode::usage, "'" + text + "' is no column", place,
                "write \"NAME:TYPE\", the type being integer, float, category or tags");
  if (!is_column_name(name))
    throw Error(ExitCode::usage, "'" + name + "' is no name for a column", place,
                "names have letters, digits, '_' and '-'");
  if (is_reserved(name))
    throw Error(ExitCode::usage, "vectors have a column '" + name + "' already", place,
                "call the field otherwise");
  return {name, *type};
}

std::string columns_text(std::span<const MetadataColumn> columns) {
  json list = json::array();
  for (const MetadataColumn& column : columns) {
    list.push_back({{"name", column.name}, {"type", name_of(column.type)}});
    if (column.has_codes()) list.back()["values"] = column.values;
  }
  return json{{"columns", list}}.dump() + "\n";
}

std::vector<MetadataColumn> columns_from_text(const std::string& text, const std::string& place) {
  try {
    const json all = json::parse(text);
    std::vector<MetadataColumn> columns;
    for (const json& entry : all.at("columns")) {
      MetadataColumn column = column_from_json(entry, place);
      if (std::ranges::find(columns, column.name, &MetadataColumn::name) != columns.end())
        throw Error(ExitCode::data, "two columns are called " + column.name, place);
      columns.push_back(std::move(column));
    }
    return columns;
  } catch (const json::exception& failure) {
    throw Error(ExitCode::data, std::string("malformed columns: ") + failure.what(), place);
  }
}

}  // namespace tutti
