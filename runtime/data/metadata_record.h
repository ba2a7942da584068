// The metadata of one vector, as a line of JSONL has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/metadata_column.h"

namespace tutti {

// What a user calls a vector by.
enum class ExternalIdType { none, integer, text };

// Which fields of a line are wanted.
struct MetadataFields {
  std::vector<MetadataColumn> columns;  // fields have their columns' names; values do not matter
  std::string id;                       // the field of the external id, where there is one
  ExternalIdType id_type = ExternalIdType::none;
};

struct MetadataValue {
  bool is_there = false;  // the field, which may be null
  bool is_null = true;    // also where it is not there
  std::int64_t integer = 0;
  double real = 0;
  std::vector<std::string> strings = {};  // of a category one; of tags any, as they stand there
};

struct MetadataRecord {
  std::vector<MetadataValue> values;  // one a column
  std::int64_t id = 0;                // the external id: one of the two
  std::string id_text;
};

// Takes the fields out of a JSON object; other fields are passed over. Null, or no such field, is
// null; only an external id must be there. Returns what is wrong, naming field or byte, or nothing.
// Local; thread-safe.
std::optional<std::string> parse_metadata(std::string_view json, const MetadataFields& fields,
                                          MetadataRecord& record);

// The external id as a person reads it.
std::string id_of(const MetadataRecord& record, const MetadataFields& fields);

}  // namespace tutti
