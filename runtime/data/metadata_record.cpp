#include "runtime/data/metadata_record.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/data/jsonl.h"

namespace tutti {
namespace {

using nlohmann::json;

const char* kind_of(const json& value) {
  if (value.is_number_float()) return "a number with a fraction or an exponent";
  if (value.is_number()) return "an integer";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "true or false";
  if (value.is_array()) return "a list";
  return value.is_object() ? "an object" : "null";
}

std::string mismatch(const std::string& field, const json& value, const char* expected) {
  return fmt::format("the field \"{}\" is {}; expected {}", field, kind_of(value), expected);
}

// Whether it is an integer of 64 bits that is not kNullInteger.
bool take_integer(const json& value, std::int64_t& integer) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t(std::numeric_limits<std::int64_t>::max()))
    return false;
  integer = value.get<std::int64_t>();
  return integer != kNullInteger;
}

bool take_tags(const json& value, std::vector<std::string>& tags) {
  if (!value.is_array()) return false;
  for (const json& tag : value) {
    if (!tag.is_string()) return false;
    tags.push_back(tag.get<std::string>());
  }
  return true;
}

std::optional<std::string> take_value(const json& value, const MetadataColumn& column,
                                      MetadataValue& taken) {
  taken.is_there = true;
  if (value.is_null()) return std::nullopt;
  taken.is_null = false;
  switch (column.type) {
    case MetadataType::integer:
      if (take_integer(value, taken.integer)) return std::nullopt;
      return mismatch(column.name, value, "an integer within +-(2^63 - 1)");
    case MetadataType::real:
      if (!value.is_number()) return mismatch(column.name, value, "a number");
      taken.real = value.get<double>();
      return std::nullopt;
    case MetadataType::category:
      if (!value.is_string()) return mismatch(column.name, value, "a string");
      taken.strings.push_back(value.get<std::string>());
      return std::nullopt;
    case MetadataType::tags:
      break;
  }
  if (take_tags(value, taken.strings)) return std::nullopt;
  return mismatch(column.name, value, "a list of strings");
}

std::optional<std::string> take_id(const json& object, const MetadataFields& fields,
                                   MetadataRecord& record) {
  const auto field = object.find(fields.id);
  if (field == object.end() || field->is_null())
    return "the record has no field \"" + fields.id + "\", which is to name it";
  if (fields.id_type == ExternalIdType::integer) {
    if (take_integer(*field, record.id)) return std::nullopt;
    return mismatch(fields.id, *field, "an integer within +-(2^63 - 1)");
  }
  if (!field->is_string()) return mismatch(fields.id, *field, "a string");
  record.id_text = field->get<std::string>();
  if (record.id_text.empty()) return "the field \"" + fields.id + "\" is empty";
  return std::nullopt;
}

}  // namespace

std::optional<std::string> parse_metadata(std::string_view text, const MetadataFields& fields,
                                          MetadataRecord& record) {
  record = {};
  record.values.resize(fields.columns.size());
  json object;
  try {
    object = json::parse(text);
  } catch (const json::parse_error& error) {
    return malformed_json(error.byte, error.what());
  } catch (const json::out_of_range& error) {  // a number
    return malformed_json(text.size(), error.what());
  }
  if (!object.is_object()) return "expected a JSON object";
  for (std::size_t i = 0; i < fields.columns.size(); ++i) {
    const auto field = object.find(fields.columns[i].name);
    if (field == object.end()) continue;
    if (auto problem = take_value(*field, fields.columns[i], record.values[i])) return problem;
  }
  if (fields.id_type == ExternalIdType::none) return std::nullopt;
  return take_id(object, fields, record);
}

std::string id_of(const MetadataRecord& record, const MetadataFields& fields) {
  return fields.id_type == ExternalIdType::integer ? std::to_string(record.id) : record.id_text;
}

}  // namespace tutti
