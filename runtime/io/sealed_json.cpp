#include "runtime/io/sealed_json.h"

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::string_view kKey = "crc32c";
constexpr std::string_view kPrefix = "{\"crc32c\":\"";
constexpr std::string_view kZeros = "00000000";

// Bytes that are no UTF-8 (a file name in a message) are replaced, for JSON has no place for them.
std::string compact(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// One line a key, and one an element of a list of objects, so that a person and diff can read it.
std::string lay_out(const nlohmann::json& value) {
  if (!value.is_array() || value.empty() || !value.front().is_object()) return compact(value);
  std::string text = "[";
  for (const auto& element : value) text += (text.size() > 1 ? ",\n " : "\n ") + compact(element);
  return text + "]";
}

// Writing JSON goes as deep as its values are nested. Throws where that is deeper than any file of
// ours.
json parse_shallow(std::string_view bytes, const std::string& place) {
  constexpr int kDeepest = 64;
  const auto check_depth = [&](int depth, json::parse_event_t, json&) {
    if (depth > kDeepest) throw Error(ExitCode::data, "nested more than 64 levels deep", place);
    return true;
  };
  return json::parse(bytes, check_depth, false);
}

std::uint32_t crc_with_zeros(std::string_view bytes) {
  std::uint32_t crc = crc32c(kPrefix);
  crc = crc32c(kZeros, crc);
  return crc32c(bytes.substr(kPrefix.size() + kZeros.size()), crc);
}

}  // namespace

std::string seal_json(const nlohmann::json& object) {
  CHECK(object.is_object() && !object.contains(kKey));
  std::string bytes = std::string(kPrefix) + std::string(kZeros) + "\"";
  for (const auto& [key, value] : object.items())
    bytes += ",\n" + compact(nlohmann::json(key)) + ":" + lay_out(value);
  bytes += "}\n";
  bytes.replace(kPrefix.size(), kZeros.size(), crc_to_hex(crc_with_zeros(bytes)));
  return bytes;
}

nlohmann::json unseal_json(std::string_view bytes, const std::string& place) {
  const std::string remedy = "restore the file from a copy, or write the artefact again";
  if (bytes.size() < kPrefix.size() + kZeros.size() || !bytes.starts_with(kPrefix))
    throw Error(ExitCode::data, "not a JSON file sealed with a checksum", place, remedy);
  const std::string_view found = bytes.substr(kPrefix.size(), kZeros.size());
  const std::string expected = crc_to_hex(crc_with_zeros(bytes));
  if (found != expected)
    throw Error(ExitCode::data,
                "damaged: its checksum says " + std::string(found) + ", its contents " + expected,
                place, remedy);
  json object = parse_shallow(bytes, place);
  if (!object.is_object()) throw Error(ExitCode::data, "not a JSON object", place, remedy);
  object.erase(std::string(kKey));
  return object;
}

void write_sealed_json(const std::filesystem::path& path, const nlohmann::json& object) {
  atomic_replace(path, seal_json(object));
}

nlohmann::json read_sealed_json(const std::filesystem::path& path) {
  return unseal_json(read_file(path), path.string());
}

}  // namespace tutti
