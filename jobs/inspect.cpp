#include "jobs/inspect.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "jobs/readable.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/comm/partition.h"
#include "runtime/data/manifest.h"
#include "runtime/data/metadata_columns.h"
#include "runtime/data/paths.h"
#include "runtime/data/segments.h"
#include "runtime/data/shard_reader.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/json_integer.h"
#include "runtime/io/sealed_json.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::size_t kMostDamage = 8;  // places named in a message; the rest is counted

// A place that does not verify.
struct Damage {
  std::string place, problem;
};

std::vector<Damage> local_damage_of(const std::filesystem::path& folder, const Manifest& manifest,
                                    std::int64_t file) {
  const FileRecord& record = manifest.files[std::size_t(file)];
  std::vector<Damage> damage;
  try {
    const ExtentReader reader(folder / record.name, record);
    for (const Error& error : reader.find_damage(std::size_t(-1)))
      damage.push_back({error.place(), error.problem()});
  } catch (const Error& error) {  // no such file, or of another size
    if (error.code() != ExitCode::data) throw;
    damage.push_back({error.place(), error.problem()});
  }
  return damage;
}

// The manifest's tables against the datasets that its files have.
std::vector<Damage> local_table_damage(const std::filesystem::path& folder,
                                       const Manifest& manifest, std::int64_t shard) {
  try {
    const ShardReader reader(folder, manifest, shard);
    return {};
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;
    return {{error.place(), error.problem()}};
  }
}

// Every rank verifies its share of the files; all damage, in order of file, on every rank.
std::vector<Damage> find_damage(Comm& comm, const std::filesystem::path& folder,
                                const Manifest& manifest) {
  json mine = json::array();
  const auto add = [&](const std::vector<Damage>& damage) {
    for (const auto& [place, problem] : damage) mine.push_back({place, problem});
  };
  comm.attempt([&] {
    const Range files = part_of(std::int64_t(manifest.files.size()), comm.size(), comm.rank());
    for (std::int64_t file = files.begin; file < files.end; ++file)
      add(local_damage_of(folder, manifest, file));
    const Range shards = part_of(manifest.shards(), comm.size(), comm.rank());
    for (std::int64_t shard = shards.begin; mine.empty() && shard < shards.end; ++shard)
      add(local_table_damage(folder, manifest, shard));
  });
  std::vector<Damage> all;
  for (const auto& text : comm.all_gather_strings(mine.dump()))
    for (const json& damage : json::parse(text)) all.push_back({damage[0], damage[1]});
  return all;
}

// Elements of a model's parameters; 0 of other kinds.
std::int64_t parameters_of(const Manifest& manifest) {
  std::int64_t elements = 0;
  const FileRecord* file = manifest.kind == kModelKind ? manifest.find_file(kModelFile) : nullptr;
  if (file)
    for (const ExtentRecord& parameter : file->extents) elements += parameter.elements();
  return elements;
}

std::int64_t bytes_of(const Manifest& manifest) {
  std::int64_t bytes = 0;
  for (const auto& file : manifest.files) bytes += file.bytes;
  return bytes;
}

// Columns of metadata; of a damaged artefact none, because their file may be what is damaged.
std::vector<MetadataColumn> metadata_of(const std::filesystem::path& folder,
                                        const Manifest& manifest,
                                        const std::vector<Damage>& damage) {
  return damage.empty() ? load_metadata_columns(folder, manifest) : std::vector<MetadataColumn>();
}

// What has become of an index since it was built, as its manifest tells.
struct IndexLife {
  std::int64_t vectors = 0, deleted = 0, segments = 0;
};

std::optional<IndexLife> life_of(const Manifest& manifest) {
  const TableEntry* entries = manifest.find_table("entries");
  if (manifest.kind != kIndexKind || !entries || !manifest.metadata.contains("count"))
    return std::nullopt;
  const std::int64_t vectors = integer_of(manifest.metadata["count"]);
  return IndexLife{vectors, entries->rows() - vectors, std::int64_t(segments_of(manifest).size())};
}

json describe(const std::filesystem::path& folder, const Manifest& manifest,
              const std::vector<Damage>& damage) {
  json tables = json::array(), places = json::array();
  for (const auto& table : manifest.tables) {
    json entry = to_json(table.schema);
    entry["rows"] = table.rows();
    entry["shard_rows"] = table.shard_rows;
    tables.push_back(std::move(entry));
  }
  for (const auto& [place, problem] : damage)
    places.push_back({{"place", place}, {"problem", problem}});
  json all = {{"path", folder.string()},
              {"kind", manifest.kind},
              {"digest", manifest.digest},
              {"files", manifest.files.size()},
              {"bytes", bytes_of(manifest)},
              {"shards", manifest.shards()},
              {"tables", tables},
              {"metadata", manifest.metadata},
              {"intact", damage.empty()},
              {"damage", places}};
  if (manifest.kind == kModelKind) all["parameters"] = parameters_of(manifest);
  if (const auto life = life_of(manifest))
    all.update(
        {{"vectors", life->vectors}, {"deleted", life->deleted}, {"segments", life->segments}});
  for (const MetadataColumn& column : metadata_of(folder, manifest, damage)) {
    all["columns"].push_back({{"name", column.name}, {"type", name_of(column.type)}});
    if (column.has_codes()) all["columns"].back()["values"] = column.values.size();
  }
  return all;
}

std::string table_text(const TableEntry& table) {
  std::string text = fmt::format("table {}: {} rows", table.schema.name, table.rows());
  if (!table.shard_rows.empty()) {
    const auto [least, most] =
        std::minmax_element(table.shard_rows.begin(), table.shard_rows.end());
    text += fmt::format(" in {} shards of {} to {}", table.shard_rows.size(), *least, *most);
  }
  text += "\n";
  for (const auto& column : table.schema.columns)
    text += fmt::format("  {:<20} {:<5} {}\n", column.name, name_of(column.dtype),
                        column.kind == ColumnKind::vector ? fmt::format("[{}]", column.width)
                                                          : std::string(name_of(column.kind)));
  return text;
}

// "lang                 category of 2: 'de', 'en'"
std::string column_text(const MetadataColumn& column) {
  constexpr std::size_t kMostNamed = 8;
  std::string text = fmt::format("  {:<20} {}", column.name, name_of(column.type));
  if (!column.has_codes()) return text + "\n";
  text += fmt::format(" of {}{}", column.values.size(), column.values.empty() ? "" : ":");
  for (std::size_t i = 0; i < std::min(kMostNamed, column.values.size()); ++i)
    text += fmt::format("{}'{}'", i == 0 ? " " : ", ", column.values[i]);
  return text + (column.values.size() > kMostNamed ? ", ...\n" : "\n");
}

// The same with whole files that are kept in it only named.
json brief_of(json value) {
  constexpr std::size_t kLongestText = 80;
  if (value.is_object())
    for (json& member : value) member = brief_of(member);
  if (value.is_string() && value.get_ref<const std::string&>().size() > kLongestText)
    return fmt::format("({} bytes)", value.get_ref<const std::string&>().size());
  return value;
}

// A curve a point a line.
std::string metadata_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array() || value.empty() || !value[0].is_object()) return brief_of(value).dump();
  std::string lines;
  for (const json& object : value) lines += "\n    " + brief_of(object).dump();
  return lines;
}

std::string to_text(const std::filesystem::path& folder, const Manifest& manifest,
                    const std::vector<Damage>& damage) {
  std::string text =
      fmt::format("{}: {}, {} files, {}\ndigest {}\n", folder.string(), manifest.kind,
                  manifest.files.size(), readable_bytes(bytes_of(manifest)), manifest.digest);
  for (const auto& table : manifest.tables) text += table_text(table);
  if (const auto life = life_of(manifest))
    text += fmt::format("{} vectors in {} segment{}, {} deleted\n", life->vectors, life->segments,
                        life->segments == 1 ? "" : "s", life->deleted);
  const std::vector<MetadataColumn> columns = metadata_of(folder, manifest, damage);
  if (!columns.empty()) text += "columns of metadata\n";
  for (const MetadataColumn& column : columns) text += column_text(column);
  if (manifest.kind == kModelKind) text += fmt::format("{} parameters\n", parameters_of(manifest));
  if (!manifest.metadata.empty()) text += "metadata\n";
  for (const auto& [key, value] : manifest.metadata.items())
    text += fmt::format("  {}: {}\n", key, metadata_text(value));
  return text + (damage.empty() ? "every checksum is right\n" : "");
}

[[noreturn]] void throw_damage(const std::filesystem::path& folder,
                               const std::vector<Damage>& damage) {
  std::string problem =
      fmt::format("{} damaged {}:", damage.size(), damage.size() == 1 ? "place" : "places");
  for (std::size_t i = 0; i < std::min(damage.size(), kMostDamage); ++i)
    problem += fmt::format("\n  {}: {}", damage[i].place, damage[i].problem);
  if (damage.size() > kMostDamage)
    problem += fmt::format("\n  and {} more", damage.size() - kMostDamage);
  throw Error(ExitCode::data, problem, folder.string(),
              "restore these files from a copy, or write the artefact again")
      .as_agreed();
}

// A checkpoint generation, whose manifest has a form of its own, as an artefact without tables.
Manifest checkpoint_as_artefact(const json& sealed, const std::string& place) {
  const CheckpointManifest checkpoint = checkpoint_manifest_from_json(sealed, place);
  Manifest manifest;
  manifest.kind = kCheckpointKind;
  for (const CheckpointPart& part : checkpoint.parts) manifest.files.push_back(part.file);
  manifest.metadata = {{"generation", checkpoint.generation},
                       {"arrays", sealed.at("arrays")},
                       {"state", checkpoint.state}};
  manifest.digest = artefact_digest(manifest.files);
  return manifest;
}

Manifest local_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kManifestFile;
  const json sealed = std::filesystem::exists(file) ? read_sealed_json(file) : json::object();
  const bool checkpoint = sealed.contains("kind") && sealed["kind"] == kCheckpointKind;
  return checkpoint ? checkpoint_as_artefact(sealed, file.string()) : load_manifest(folder);
}

// Of one version: while an index is changed, files that its manifest no longer names are removed.
std::vector<Damage> find_damage_of_now(Comm& comm, const std::filesystem::path& folder,
                                       Manifest& manifest) {
  while (true) {
    comm.attempt([&] { manifest = local_manifest(folder); });
    std::vector<Damage> damage = find_damage(comm, folder, manifest);
    bool changed = false;
    comm.attempt([&] { changed = !damage.empty() && local_manifest(folder) != manifest; });
    if (comm.all_reduce_max(std::int64_t(changed)) == 0) return damage;
  }
}

ExitCode inspect_manifest(Comm& comm, const std::filesystem::path& folder, bool as_json) {
  Manifest manifest;
  const std::vector<Damage> damage = find_damage_of_now(comm, folder, manifest);
  if (comm.is_root()) {
    const std::string text = as_json ? describe(folder, manifest, damage).dump(2) + "\n"
                                     : to_text(folder, manifest, damage);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }
  if (!damage.empty()) throw_damage(folder, damage);
  return ExitCode::done;
}

}  // namespace

ExitCode inspect_artefact(Comm& comm, const std::filesystem::path& path, bool as_json) {
  return inspect_manifest(comm, path, as_json);
}

}  // namespace tutti
