#include "runtime/checkpoint/survey.h"

#include <algorithm>
#include <map>
#include <utility>

#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/comm/partition.h"
#include "runtime/io/extent_file.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr const char* kRunLevel = "run";

// Damage of data or of the disk under it; everything else is no finding but a failure.
bool is_damage(const Error& error) {
  return error.code() == ExitCode::data || error.code() == ExitCode::io;
}

double local_time_of(const std::filesystem::path& file) {
  struct stat status = {};
  if (stat(file.c_str(), &status) != 0) return 0;
  return double(status.st_mtim.tv_sec) + double(status.st_mtim.tv_nsec) * 1e-9;
}

// Of a folder without a manifest that tells. It may be going away.
void local_count_files(const std::filesystem::path& folder, GenerationSummary& summary) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".h5") continue;
    const auto bytes = entry.file_size(error);
    if (!error) summary.bytes += std::int64_t(bytes);
    ++summary.parts;
  }
  summary.written = local_time_of(folder);
}

void take_manifest(const CheckpointManifest& manifest, GenerationSummary& summary) {
  summary.parts = std::int64_t(manifest.parts.size());
  for (const CheckpointPart& part : manifest.parts) summary.bytes += part.file.bytes;
  summary.state = manifest.state;
}

GenerationSummary local_committed(const CheckpointStore& store, std::int64_t generation) {
  GenerationSummary summary;
  summary.pinned = store.is_pinned(generation);
  try {
    take_manifest(store.read_manifest(generation), summary);
    summary.written = local_time_of(store.manifest_of(generation));
    (void)store.read_complete(generation);
  } catch (const Error& error) {
    summary.condition = GenerationCondition::damaged;
    summary.problem = error.what();
    if (summary.state.is_null()) local_count_files(store.generation_folder(generation), summary);
  }
  return summary;
}

std::vector<GenerationSummary> local_survey(const CheckpointStore& store) {
  std::vector<GenerationSummary> found;
  const auto add = [&](std::int64_t generation, GenerationSummary summary) {
    summary.generation = generation;
    summary.shared = store.has_all_parts();
    summary.nodes = store.has_all_parts() ? 0 : 1;
    found.push_back(std::move(summary));
  };
  for (const std::int64_t generation : store.committed()) {
    GenerationSummary summary = local_committed(store, generation);
    // One that retention removed meanwhile is none.
    if (std::filesystem::exists(store.manifest_of(generation))) add(generation, std::move(summary));
  }
  const auto add_bare = [&](std::int64_t generation, const std::filesystem::path& folder,
                            GenerationCondition condition) {
    GenerationSummary summary;
    summary.condition = condition;
    local_count_files(folder, summary);
    add(generation, std::move(summary));
  };
  for (const std::int64_t generation : store.unfinished())
    add_bare(generation, store.generation_folder(generation), GenerationCondition::unfinished);
  for (const std::int64_t generation : store.damaged())
    add_bare(generation, store.damaged_folder(generation), GenerationCondition::set_aside);
  return found;
}

json to_json(const GenerationSummary& s) {
  return {{"generation", s.generation}, {"condition", int(s.condition)},
          {"problem", s.problem},       {"pinned", s.pinned},
          {"shared", s.shared},         {"nodes", s.nodes},
          {"written", s.written},       {"bytes", s.bytes},
          {"parts", s.parts},           {"state", s.state}};
}

GenerationSummary summary_from(const json& value) {
  return {value.at("generation"), GenerationCondition(value.at("condition").get<int>()),
          value.at("problem"),    value.at("pinned"),
          value.at("shared"),     value.at("nodes"),
          value.at("written"),    value.at("bytes"),
          value.at("parts"),      value.at("state")};
}

// What another level tells of the same generation. A level that is not finished yet says nothing of
// one that is committed elsewhere.
void merge(GenerationSummary& into, const GenerationSummary& other) {
  constexpr auto kUnfinished = GenerationCondition::unfinished;
  if (other.condition == kUnfinished && into.condition != kUnfinished) return;
  if (into.condition == kUnfinished && other.condition != kUnfinished) {
    into = other;
    return;
  }
  into.condition = std::max(into.condition, other.condition);
  if (into.problem.empty()) into.problem = other.problem;
  into.pinned |= other.pinned;
  into.shared |= other.shared;
  into.nodes += other.nodes;
  into.written = std::max(into.written, other.written);
  into.bytes = std::max(into.bytes, other.bytes);
  into.parts = std::max(into.parts, other.parts);
  if (into.state.is_null()) into.state = other.state;
}

// What is wrong with a store's copy of a generation, as far as it is share `index` of `shares`.
std::vector<GenerationDamage> local_damage(const CheckpointStore& store, const std::string& level,
                                           std::int64_t generation, int shares, int index) {
  if (!std::filesystem::exists(store.manifest_of(generation))) return {};
  std::vector<GenerationDamage> damage;
  const auto add = [&](const Error& error) {
    if (!is_damage(error)) throw error;
    damage.push_back({level, error.place(), error.problem()});
  };
  std::vector<CheckpointPart> parts;
  try {
    parts = store.read_manifest(generation).parts;
  } catch (const Error& error) {
    if (index == 0 || !is_damage(error)) add(error);
  }
  const Range mine = part_of(std::int64_t(parts.size()), shares, index);
  for (std::int64_t p = mine.begin; p < mine.end; ++p) {
    const FileRecord& record = parts[std::size_t(p)].file;
    const std::filesystem::path file = store.generation_folder(generation) / record.name;
    if (!store.has_all_parts() && !std::filesystem::exists(file)) continue;
    try {
      for (const Error& error : ExtentReader(file, record).find_damage(std::size_t(-1))) add(error);
    } catch (const Error& error) {
      add(error);
    }
  }
  if (!std::filesystem::exists(store.manifest_of(generation))) return {};  // it was removed
  return damage;
}

std::vector<GenerationDamage> gather(Comm& comm, const std::vector<GenerationDamage>& mine) {
  json list = json::array();
  for (const auto& [level, place, problem] : mine) list.push_back({level, place, problem});
  std::vector<GenerationDamage> all;
  const auto replace = json::error_handler_t::replace;  // a file's name need not be UTF-8
  for (const std::string& text : comm.all_gather_strings(list.dump(-1, ' ', false, replace))) {
    const json theirs = json::parse(text);
    for (const json& damage : theirs) all.push_back({damage[0], damage[1], damage[2]});
  }
  return all;
}

// Parts that stand nowhere, of a generation that only nodes have.
std::vector<GenerationDamage> find_lost_parts(Comm& comm, const CheckpointLevels& levels,
                                              const CheckpointManifest& manifest) {
  std::vector<std::int64_t> holders(manifest.parts.size());
  for (std::size_t p = 0; p < holders.size(); ++p)
    holders[p] = levels.local_file(manifest.generation, manifest.parts[p].file.name) ? 1 : 0;
  comm.all_reduce_sum(std::span(holders));
  std::vector<GenerationDamage> lost;
  for (std::size_t p = 0; p < holders.size(); ++p)
    if (holders[p] == 0)
      lost.push_back({"node", manifest.parts[p].file.name, "no node has this part"});
  return lost;
}

std::vector<GenerationDamage> find_damage_in_run_folder(Comm& comm, const CheckpointLevels& levels,
                                                        std::int64_t generation) {
  std::vector<GenerationDamage> mine;
  comm.attempt([&] {
    mine = local_damage(levels.shared(), kRunLevel, generation, comm.size(), comm.rank());
  });
  return gather(comm, mine);
}

bool stands_in_run_folder(Comm& comm, const CheckpointLevels& levels, std::int64_t generation) {
  return comm.all_reduce_max(std::int64_t(
      comm.is_root() && std::filesystem::exists(levels.shared().manifest_of(generation))));
}

}  // namespace

const char* name_of(GenerationCondition condition) {
  switch (condition) {
    case GenerationCondition::complete:
      return "complete";
    case GenerationCondition::unfinished:
      return "unfinished";
    case GenerationCondition::damaged:
      return "damaged";
    case GenerationCondition::set_aside:
      return "set aside";
  }
  return "";
}

std::vector<GenerationSummary> survey_generations(Comm& comm, const CheckpointLevels& levels) {
  json mine = json::array();
  comm.attempt([&] {
    for (const CheckpointStore& store : levels.local_stores())
      for (const GenerationSummary& summary : local_survey(store)) mine.push_back(to_json(summary));
  });
  // Newest first, those that were set aside behind the others of their number.
  std::map<std::pair<std::int64_t, bool>, GenerationSummary> all;
  const auto replace = json::error_handler_t::replace;
  for (const std::string& text : comm.all_gather_strings(mine.dump(-1, ' ', false, replace))) {
    const json theirs = json::parse(text);
    for (const json& value : theirs) {
      const GenerationSummary summary = summary_from(value);
      const bool aside = summary.condition == GenerationCondition::set_aside;
      const auto [it, is_new] = all.try_emplace({-summary.generation, aside}, summary);
      if (!is_new) merge(it->second, summary);
    }
  }
  std::vector<GenerationSummary> list;
  for (auto& [key, summary] : all) list.push_back(std::move(summary));
  return list;
}

std::vector<GenerationDamage> find_damage(Comm& comm, const CheckpointLevels& levels,
                                          std::int64_t generation) {
  std::vector<GenerationDamage> damage = find_damage_in_run_folder(comm, levels, generation);
  if (!levels.has_local()) return damage;
  std::vector<GenerationDamage> mine;
  comm.attempt([&] {
    mine = local_damage(*levels.local(), "node " + comm.host(), generation, comm.local_size(),
                        comm.local_rank());
  });
  const std::vector<GenerationDamage> theirs = gather(comm, mine);
  damage.insert(damage.end(), theirs.begin(), theirs.end());
  if (!damage.empty() || stands_in_run_folder(comm, levels, generation)) return damage;
  try {
    return find_lost_parts(comm, levels, levels.read_manifest(generation));
  } catch (const Error& error) {
    if (!error.agreed() || error.code() != ExitCode::data) throw;
    return {};  // removed meanwhile
  }
}

bool verifies_in_run_folder(Comm& comm, const CheckpointLevels& levels, std::int64_t generation) {
  return find_damage_in_run_folder(comm, levels, generation).empty() &&
         stands_in_run_folder(comm, levels, generation);
}

}  // namespace tutti
