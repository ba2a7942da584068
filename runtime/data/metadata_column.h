// What is known of vectors besides themselves: columns of metadata, and their values in memory.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/schema.h"

namespace tutti {

enum class MetadataType {
  integer,   // i64
  real,      // f64, "float" by name
  category,  // a string of few that there are: i32 codes
  tags,      // any number of such strings: ragged i32 codes, ascending, each once
};

// "integer", "float", "category", "tags".
std::string_view name_of(MetadataType type);

struct MetadataColumn {
  std::string name;
  MetadataType type = MetadataType::integer;
  // Of categories and tags: the strings that there are, ascending by their bytes. A code is an
  // index into them.
  std::vector<std::string> values = {};

  bool has_codes() const { return type == MetadataType::category || type == MetadataType::tags; }
  // The code of a string, or kNoCode.
  std::int32_t code_of(std::string_view value) const;
  bool operator==(const MetadataColumn&) const = default;
};

// How a value that is missing is stored. No value is stored so: an integer may not be
// kNullInteger, a float is finite.
inline constexpr std::int64_t kNullInteger = std::numeric_limits<std::int64_t>::min();
inline constexpr double kNullReal = std::numeric_limits<double>::quiet_NaN();
inline constexpr std::int32_t kNullCode = -1;  // of tags: the only code of its row
inline constexpr std::int32_t kNoCode = -2;    // in no row: the code of a string that no row has

// The values of a column in some rows: those of its type, the other spans are empty. Owned by
// somebody else.
struct ColumnView {
  std::span<const std::int64_t> integers = {};
  std::span<const double> reals = {};
  std::span<const std::int32_t> codes = {};
  // Of tags: one more than rows. Row r has codes[offsets[r], offsets[r + 1]); the first offset may
  // be any.
  std::span<const std::int64_t> offsets = {};
};

// The same, owned.
struct ColumnValues {
  std::vector<std::int64_t> integers = {};
  std::vector<double> reals = {};
  std::vector<std::int32_t> codes = {};
  std::vector<std::int64_t> offsets = {};

  ColumnView view() const { return {integers, reals, codes, offsets}; }
};

std::vector<ColumnView> views_of(std::span<const ColumnValues> columns);

// The column in a table of vectors.
ColumnSchema schema_of(const MetadataColumn& column);

// What a user asks for: "year:integer". Throws Error(usage) naming `place` where it is no name and
// type, or a name that a table of vectors has already.
MetadataColumn parse_metadata_column(const std::string& text, const std::string& place);

// The bytes of columns.json, and back; throws Error(data) naming `place`.
std::string columns_text(std::span<const MetadataColumn> columns);
std::vector<MetadataColumn> columns_from_text(const std::string& text, const std::string& place);

// Names of columns that every table of vectors has, or may have: the number in the input, and what
// a user calls a vector by.
inline constexpr const char* kIdColumn = "id";
inline constexpr const char* kExternalIdColumn = "external_id";

}  // namespace tutti
