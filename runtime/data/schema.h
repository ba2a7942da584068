// What the tables of an artefact look like: columns of fixed width, and ragged ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "kernels/core/dtype.h"

namespace tutti {

enum class ColumnKind {
  scalar,  // one element a row: dataset "/table/column", shape [rows]
  vector,  // `width` elements a row: "/table/column", [rows, width]
  ragged,  // any number a row: "/table/column/values", [total], and "/table/column/offsets", int64
           // [rows + 1] from 0
};

// "scalar", "vector", "ragged".
std::string_view name_of(ColumnKind kind);

struct ColumnSchema {
  std::string name;
  DType dtype = DType::u8;
  ColumnKind kind = ColumnKind::scalar;
  std::int64_t width = 1;  // elements a row; 1 for scalar and ragged columns

  static ColumnSchema scalar(std::string name, DType dtype);
  static ColumnSchema vector(std::string name, DType dtype, std::int64_t width);
  static ColumnSchema ragged(std::string name, DType dtype);
  bool operator==(const ColumnSchema&) const = default;
};

struct TableSchema {
  std::string name;
  std::vector<ColumnSchema> columns;

  // The index of a column, or -1.
  int find(std::string_view column) const;
  bool operator==(const TableSchema&) const = default;
};

// The datasets of a column in a shard; for a ragged one those of its values and of its offsets.
std::string column_dataset(const TableSchema& table, const ColumnSchema& column);
std::string offsets_dataset(const TableSchema& table, const ColumnSchema& column);

nlohmann::json to_json(const TableSchema& table);
// Throws Error(data) naming `place` where the JSON is no schema. Names are letters, digits, '_' and
// '-'.
TableSchema table_schema_from_json(const nlohmann::json& json, const std::string& place);

}  // namespace tutti
