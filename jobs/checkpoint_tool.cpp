#include "jobs/checkpoint_tool.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "jobs/checkpoint_conversion.h"
#include "jobs/readable.h"
#include "runtime/base/log.h"
#include "runtime/checkpoint/survey.h"
#include "runtime/data/paths.h"
#include "runtime/data/run_folder.h"

namespace tutti {
namespace {

using nlohmann::json;

void print_on_root(const Comm& comm, const std::string& text) {
  if (!comm.is_root()) return;
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// "step 120", "iteration 7": how far the job was.
std::string progress_of(const json& state) {
  for (const char* name : {"step", "iteration"})
    if (state.is_object() && state.contains(name))
      return fmt::format("{} {}", name, state[name].dump());
  return "?";
}

std::string levels_of(const GenerationSummary& summary) {
  std::string text = summary.shared ? "run" : "";
  if (summary.nodes > 0)
    text += fmt::format("{}{} node{}", text.empty() ? "" : ", ", summary.nodes,
                        summary.nodes == 1 ? "" : "s");
  return text;
}

std::string condition_of(const GenerationSummary& summary) {
  std::string text = summary.pinned ? "pinned, " : "";
  text += name_of(summary.condition);
  return summary.problem.empty() ? text : text + ": " + summary.problem;
}

std::string table_of(const std::vector<GenerationSummary>& all) {
  constexpr const char* kRow = "{:>10}  {:<19}  {:<14} {:>10} {:>6}  {:<12}  {}\n";
  std::string text =
      fmt::format(kRow, "generation", "written", "at", "size", "parts", "where", "condition");
  for (const GenerationSummary& s : all)
    text += fmt::format(kRow, s.generation, readable_time(s.written), progress_of(s.state),
                        readable_bytes(s.bytes), s.parts, levels_of(s), condition_of(s));
  return text;
}

json to_json(const GenerationSummary& s) {
  json value = {{"generation", s.generation}, {"condition", name_of(s.condition)},
                {"pinned", s.pinned},         {"in_run_folder", s.shared},
                {"nodes", s.nodes},           {"written", s.written},
                {"bytes", s.bytes},           {"parts", s.parts}};
  if (!s.problem.empty()) value["problem"] = s.problem;
  for (const char* name : {"step", "iteration"})
    if (s.state.is_object() && s.state.contains(name)) value[name] = s.state[name];
  return value;
}

void list(Comm& comm, const CheckpointLevels& levels, const CheckpointRequest& request) {
  const std::vector<GenerationSummary> all = survey_generations(comm, levels);
  if (request.json) {
    json values = json::array();
    for (const GenerationSummary& summary : all) values.push_back(to_json(summary));
    print_on_root(comm, values.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  } else {
    print_on_root(comm, all.empty() ? request.run.string() + ": no checkpoint\n" : table_of(all));
  }
}

// The generation that the request names. Collective.
std::int64_t existing(const CheckpointRequest& request,
                      const std::vector<std::int64_t>& committed) {
  const std::int64_t generation = request.generation.value_or(-1);
  if (std::ranges::find(committed, generation) != committed.end()) return generation;
  throw Error(ExitCode::usage, fmt::format("there is no checkpoint generation {}", generation),
              request.run.string(), "tutti checkpoint ls RUN names those that there are")
      .as_agreed();
}

void verify(Comm& comm, const CheckpointLevels& levels, const CheckpointRequest& request) {
  std::vector<std::int64_t> generations = levels.committed();
  if (request.generation) generations = {existing(request, generations)};
  if (generations.empty()) print_on_root(comm, request.run.string() + ": no checkpoint\n");
  std::size_t places = 0;
  for (const std::int64_t generation : generations) {
    const std::vector<GenerationDamage> damage = find_damage(comm, levels, generation);
    places += damage.size();
    std::string text = fmt::format("generation {}: ", generation);
    text += damage.empty() ? "every checksum is right\n" : "damaged\n";
    for (const GenerationDamage& d : damage)
      text += fmt::format("  {}: {}: {}\n", d.level, d.place, d.problem);
    print_on_root(comm, text);
  }
  if (places == 0) return;
  throw Error(ExitCode::data, fmt::format("{} damaged place{}", places, places == 1 ? "" : "s"),
              request.run.string(),
              "the next start of the job takes such blocks from another level, or the generation "
              "before")
      .as_agreed();
}

// A pin stands in the run's own folder, where nobody but retention removes.
void set_pin(Comm& comm, const CheckpointLevels& levels, const CheckpointRequest& request) {
  const std::int64_t generation = existing(request, levels.committed());
  const bool pins = request.action == CheckpointRequest::Action::pin;
  comm.attempt([&] {
    if (!comm.is_root()) return;
    const CheckpointStore& store = levels.shared();
    if (!std::filesystem::exists(store.manifest_of(generation)))
      throw Error(ExitCode::usage,
                  fmt::format("generation {} stands in the nodes' folders alone", generation),
                  store.folder().string(), "pin one of the run's own folder");
    pins ? store.pin(generation) : store.unpin(generation);
  });
  print_on_root(comm, fmt::format("generation {} is {}\n", generation,
                                  pins ? "pinned: it stays until it is unpinned" : "not pinned"));
}

void require_another(Comm& comm, const CheckpointLevels& levels, std::int64_t generation) {
  for (const std::int64_t other : levels.committed())
    if (other != generation && verifies_in_run_folder(comm, levels, other)) return;
  throw Error(ExitCode::usage,
              fmt::format("no other generation than {} verifies in the run's folder", generation),
              levels.shared().folder().string(),
              "keep it; a whole run's folder may be removed with rm -r")
      .as_agreed();
}

void remove_damaged(Comm& comm, const CheckpointLevels& levels) {
  std::vector<std::int64_t> mine;
  comm.attempt([&] {
    for (const CheckpointStore& store : levels.local_stores())
      for (const std::int64_t generation : store.damaged()) {
        store.remove_damaged(generation);
        mine.push_back(generation);
      }
  });
  const auto removed = comm.all_reduce_sum(std::int64_t(mine.size()));
  print_on_root(comm, fmt::format("{} folder{} of what was set aside removed\n", removed,
                                  removed == 1 ? "" : "s"));
}

void remove_one(Comm& comm, const CheckpointLevels& levels, std::int64_t generation) {
  comm.attempt([&] {
    for (const CheckpointStore& store : levels.local_stores())
      if (store.is_pinned(generation))
        throw Error(ExitCode::usage, fmt::format("generation {} is pinned", generation),
                    store.folder().string(),
                    "tutti checkpoint unpin RUN GENERATION, if you mean it");
  });
  require_another(comm, levels, generation);
  comm.attempt([&] {
    for (const CheckpointStore& store : levels.local_stores())
      if (std::filesystem::exists(store.generation_folder(generation))) store.remove(generation);
  });
  print_on_root(comm, fmt::format("generation {} removed\n", generation));
}

// Not beside a job, which counts on what it has written.
void remove(Comm& comm, const CheckpointLevels& levels, const CheckpointRequest& request) {
  const RunFolder held(comm, request.run);
  if (request.damaged) return remove_damaged(comm, levels);
  remove_one(comm, levels, existing(request, levels.committed()));
}

void convert(Comm& comm, const CheckpointLevels& levels, const CheckpointRequest& request) {
  if (request.generation) (void)existing(request, levels.committed());
  convert_checkpoint(comm, levels, request);
}

}  // namespace

ExitCode run_checkpoint_tool(Comm& comm, const CheckpointRequest& request) {
  using Action = CheckpointRequest::Action;
  comm.attempt([&] {
    if (!std::filesystem::is_directory(request.run))
      throw Error(ExitCode::usage, "no such folder", request.run.string(),
                  "give the folder of a run");
  });
  const CheckpointLevels levels(comm, CheckpointLevels::LookOnly{}, request.run / kCheckpointFolder,
                                request.local);
  switch (request.action) {
    case Action::list:
      list(comm, levels, request);
      break;
    case Action::verify:
      verify(comm, levels, request);
      break;
    case Action::pin:
    case Action::unpin:
      set_pin(comm, levels, request);
      break;
    case Action::remove:
      remove(comm, levels, request);
      break;
    case Action::convert:
      convert(comm, levels, request);
      break;
  }
  return ExitCode::done;
}

}  // namespace tutti
