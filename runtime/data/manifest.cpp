#include "runtime/data/manifest.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/digest.h"
#include "runtime/io/json_integer.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

using nlohmann::json;

void require(bool good, const std::string& problem, const std::string& place) {
  if (!good) throw Error(ExitCode::data, problem, place);
}

json table_to_json(const TableEntry& table) {
  json value = to_json(table.schema);
  value["shard_rows"] = table.shard_rows;
  return value;
}

TableEntry table_from_json(const json& value, const std::string& place) {
  TableEntry table{table_schema_from_json(value, place), integers_of(value.at("shard_rows"))};
  std::int64_t total = 0;
  for (std::int64_t rows : table.shard_rows)
    require(rows >= 0 && !__builtin_add_overflow(total, rows, &total),
            "table " + table.schema.name + " has an impossible number of rows", place);
  return table;
}

void check_consistent(const Manifest& manifest, const std::string& place) {
  const auto& tables = manifest.tables;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    require(tables[i].shard_rows.size() == tables[0].shard_rows.size(),
            "the tables disagree on the number of shards", place);
    require(manifest.find_table(tables[i].schema.name) == &tables[i],
            "two tables are called " + tables[i].schema.name, place);
  }
  for (std::size_t i = 1; i < manifest.files.size(); ++i)
    require(manifest.files[i - 1].name < manifest.files[i].name,
            "its files are not in order of name", place);
  require(manifest.shards() <= kMaxShards, "it has too many shards", place);
  for (std::int64_t shard = 0; shard < manifest.shards(); ++shard)
    require(manifest.find_file(shard_file(shard)) != nullptr,
            "it does not list " + shard_file(shard), place);
  require(manifest.digest == artefact_digest(manifest.files), "its digest is not that of its files",
          place);
}

}  // namespace

std::int64_t TableEntry::rows() const {
  return std::accumulate(shard_rows.begin(), shard_rows.end(), std::int64_t(0));
}

std::int64_t Manifest::shards() const {
  return tables.empty() ? 0 : std::int64_t(tables[0].shard_rows.size());
}

const TableEntry* Manifest::find_table(std::string_view name) const {
  for (const auto& table : tables)
    if (table.schema.name == name) return &table;
  return nullptr;
}

const FileRecord* Manifest::find_file(std::string_view name) const {
  const auto at = std::lower_bound(
      files.begin(), files.end(), name,
      [](const FileRecord& file, std::string_view wanted) { return file.name < wanted; });
  return at != files.end() && at->name == name ? &*at : nullptr;
}

std::string Manifest::metadata_text(const char* key, const std::string& otherwise) const {
  if (!metadata.contains(key)) return otherwise;
  if (!metadata[key].is_string())
    throw Error(ExitCode::data, "its metadata hold no text as \"" + std::string(key) + "\"",
                "manifest of kind " + kind);
  return metadata[key];
}

std::string artefact_digest(const std::vector<FileRecord>& files) {
  Digest digest;
  for (const auto& file : files) digest.add(to_json(file).dump() + "\n");
  return digest.hex();
}

json to_json(const Manifest& manifest) {
  json tables = json::array(), files = json::array();
  for (const auto& table : manifest.tables) tables.push_back(table_to_json(table));
  for (const auto& file : manifest.files) files.push_back(to_json(file));
  return {{"kind", manifest.kind}, {"version", kManifestVersion},   {"tables", tables},
          {"files", files},        {"metadata", manifest.metadata}, {"digest", manifest.digest}};
}

Manifest manifest_from_json(const json& value, const std::string& place) {
  try {
    const auto version = integer_of(value.at("version"));
    require(version == kManifestVersion,
            "it is of format version " + std::to_string(version) + ", this program reads version " +
                std::to_string(kManifestVersion),
            place);
    Manifest manifest;
    manifest.kind = value.at("kind").get<std::string>();
    for (const json& table : value.at("tables"))
      manifest.tables.push_back(table_from_json(table, place));
    for (const json& file : value.at("files"))
      manifest.files.push_back(file_record_from_json(file, place));
    manifest.metadata = value.at("metadata");
    require(manifest.metadata.is_object(), "its metadata are no object", place);
    manifest.digest = value.at("digest").get<std::string>();
    check_consistent(manifest, place);
    return manifest;
  } catch (const json::exception& failure) {
    throw Error(ExitCode::data, std::string("malformed manifest: ") + failure.what(), place);
  }
}

Manifest load_manifest(const std::filesystem::path& folder, std::string_view kind) {
  if (!std::filesystem::is_directory(folder))
    throw Error(ExitCode::usage, "no such folder", folder.string(),
                "check the path in the configuration");
  const std::filesystem::path path = folder / kManifestFile;
  if (!std::filesystem::exists(path))
    throw Error(ExitCode::data, std::string("no ") + kManifestFile + " here", folder.string(),
                "name an artefact's folder; if this is one, the job that writes it did not end: "
                "run it again");
  Manifest manifest = manifest_from_json(read_sealed_json(path), path.string());
  if (!kind.empty() && manifest.kind != kind)
    throw Error(ExitCode::data,
                "this is of kind '" + manifest.kind + "', not '" + std::string(kind) + "'",
                folder.string());
  return manifest;
}

}  // namespace tutti
