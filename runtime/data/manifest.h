// An artefact is a folder of data files and a manifest. Nothing exists until its manifest does; see
// FORMAT.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/data/schema.h"
#include "runtime/io/file_record.h"

namespace tutti {

inline constexpr std::int64_t kManifestVersion = 1;

// Kinds of artefact.
inline constexpr const char* kDatasetKind = "dataset";
inline constexpr const char* kVectorsKind = "vectors";
inline constexpr const char* kIndexKind = "index";
inline constexpr const char* kModelKind = "model";
inline constexpr const char* kNeighborsKind = "neighbors";
inline constexpr const char* kRangesKind = "ranges";
inline constexpr const char* kDuplicatesKind = "duplicates";

// A table over all shards: its global rows are the rows of shard 0, then those of shard 1, and so
// on.
struct TableEntry {
  TableSchema schema;
  std::vector<std::int64_t> shard_rows;  // one a shard

  std::int64_t rows() const;
  bool operator==(const TableEntry&) const = default;
};

struct Manifest {
  std::string kind;
  std::vector<TableEntry> tables;
  std::vector<FileRecord> files;                       // in order of name
  nlohmann::json metadata = nlohmann::json::object();  // what the job wants to be remembered
  std::string digest;                                  // of the contents: artefact_digest(files)

  std::int64_t shards() const;  // 0 without tables
  // nullptr where there is none of that name.
  const TableEntry* find_table(std::string_view name) const;
  const FileRecord* find_file(std::string_view name) const;
  // What the metadata say, or `otherwise` where they do not. Throws Error(data) where it is no
  // text.
  std::string metadata_text(const char* key, const std::string& otherwise = "") const;
  bool operator==(const Manifest&) const = default;
};

// XXH3-128 over names and checksums, in order of name: the same files give the same digest, whoever
// wrote them.
std::string artefact_digest(const std::vector<FileRecord>& files);

nlohmann::json to_json(const Manifest& manifest);
// Throws Error(data) naming `place` where the JSON is no consistent manifest.
Manifest manifest_from_json(const nlohmann::json& json, const std::string& place);

// Reads and checks a folder's manifest; data files are not touched. Throws Error(usage) where there
// is no such folder, Error(data) where the manifest is missing, damaged or of a later version, or,
// with `kind` given, of another kind. Local: where ranks must agree, call it inside Comm::attempt.
Manifest load_manifest(const std::filesystem::path& folder, std::string_view kind = "");

}  // namespace tutti
