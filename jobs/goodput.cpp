#include "jobs/goodput.h"

#include <cmath>
#include <cstdio>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/data/paths.h"
#include "runtime/telemetry/ledger.h"

namespace tutti {
namespace {

std::string meaning_of(TimeUse use) {
  switch (use) {
    case TimeUse::productive:
      return "work that the result is made of";
    case TimeUse::checkpoint:
      return "work stood still for checkpoints";
    case TimeUse::lost:
      return "work that a kill or failure took back";
    case TimeUse::waiting:
      return "in the queue, and between two starts";
    case TimeUse::startup:
      return "from a process's start to its first step";
    case TimeUse::other:
      return "evaluation, saving the model, the end";
  }
  return "";
}

// Events are told in milliseconds: what is beyond is noise of summing.
double whole_milliseconds(double seconds) { return std::round(seconds * 1e3) / 1e3; }

std::string counted(std::int64_t count, const std::string& one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

// "3 starts: 1 done, 2 killed".
std::string starts_text(const Ledger& ledger) {
  std::string ends;
  const auto add = [&](std::int64_t count, const char* what) {
    if (count > 0) ends += fmt::format("{} {} {}", ends.empty() ? ":" : ",", count, what);
  };
  add(ledger.done, "done");
  add(ledger.stopped, "stopped with a checkpoint");
  add(ledger.killed, "killed");
  add(ledger.failed, "failed");
  add(ledger.refused, "refused");
  add(ledger.open, "without an end");
  return counted(ledger.starts, "start") + ends;
}

std::string failures_text(const Ledger& ledger) {
  const FailureRate rate = ledger.failure_rate();
  const std::optional<double> mean = rate.mean_seconds_between();
  const std::string run = fmt::format("in {:.1f} s of running", rate.seconds_run);
  return mean ? fmt::format("{} {}: mean time between failures {:.1f} s\n",
                            counted(rate.failures, "failure"), run, *mean)
              : fmt::format("no failure {}\n", run);
}

// What the table cannot tell.
std::string notes_on(const Ledger& ledger) {
  std::string text;
  if (ledger.lost_steps > 0) text += fmt::format("{} lost\n", counted(ledger.lost_steps, "step"));
  if (ledger.open)
    text += "the last start left no end: it runs, or was killed; counted up to its last event\n";
  if (ledger.resumable && ledger.kept_position + ledger.lost_steps > 0)
    text += fmt::format(
        "not done: the next start goes on from step {}; what was done beyond counts as lost\n",
        ledger.kept_position);
  if (ledger.idle_seconds > 0)
    text += fmt::format("not counted: {:.1f} s between a start that was done and the next\n",
                        ledger.idle_seconds);
  if (ledger.clock_back_seconds > 0)
    text += fmt::format("the clock went back by {:.1f} s: waiting may be too short by that\n",
                        ledger.clock_back_seconds);
  return text;
}

std::string to_text(const std::filesystem::path& folder, const Ledger& ledger,
                    std::int64_t skipped_lines) {
  std::string text = fmt::format("{}: {}\n\n{:<11} {:>12} {:>7}\n", folder.string(),
                                 starts_text(ledger), "time", "seconds", "share");
  const double whole = ledger.whole_seconds > 0 ? ledger.whole_seconds : 1;
  for (const TimeUse use : kTimeUses)
    text += fmt::format("{:<11} {:>12.3f} {:>6.1f}%  {}\n", name_of(use), ledger.of(use),
                        100 * ledger.of(use) / whole, meaning_of(use));
  text += fmt::format("{:<11} {:>12.3f} {:>6.1f}%\n\ngoodput {:.3f}\n", "whole",
                      ledger.whole_seconds, 100.0, ledger.goodput());
  text += failures_text(ledger) + notes_on(ledger);
  if (skipped_lines > 0)
    text += fmt::format("{} of {} skipped: cut off, or no event\n", counted(skipped_lines, "line"),
                        kEventsFile);
  return text;
}

nlohmann::ordered_json to_json(const Ledger& ledger, std::int64_t skipped_lines) {
  nlohmann::ordered_json json;
  json["whole_seconds"] = whole_milliseconds(ledger.whole_seconds);
  for (const TimeUse use : kTimeUses) {
    const bool startup = use == TimeUse::startup;  // a key has no hyphen
    json[(startup ? "startup" : std::string(name_of(use))) + "_seconds"] =
        whole_milliseconds(ledger.of(use));
  }
  json["goodput"] = ledger.goodput();
  const FailureRate rate = ledger.failure_rate();
  const std::optional<double> mean = rate.mean_seconds_between();
  json.update({{"starts", ledger.starts},
               {"done", ledger.done},
               {"stopped", ledger.stopped},
               {"killed", ledger.killed},
               {"failed", ledger.failed},
               {"refused", ledger.refused},
               {"open", ledger.open},
               {"failures", rate.failures},
               {"run_seconds", whole_milliseconds(rate.seconds_run)},
               {"mean_seconds_between_failures",
                mean ? nlohmann::json(whole_milliseconds(*mean)) : nlohmann::json()},
               {"lost_steps", ledger.lost_steps},
               {"idle_seconds", whole_milliseconds(ledger.idle_seconds)},
               {"clock_back_seconds", whole_milliseconds(ledger.clock_back_seconds)},
               {"skipped_lines", skipped_lines}});
  return json;
}

RunRecord local_record(const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder))
    throw Error(ExitCode::usage, "no such folder", folder.string(), "give the folder of a run");
  const std::filesystem::path file = folder / kEventsFile;
  RunRecord record = read_run_record(file);
  if (record.events.empty())
    throw Error(ExitCode::data, "it holds no event of a run", file.string(),
                "give the folder of a run that has started");
  return record;
}

}  // namespace

ExitCode print_goodput(Comm& comm, const std::filesystem::path& folder, bool json) {
  std::string text;
  comm.attempt([&] {
    if (!comm.is_root()) return;
    const RunRecord record = local_record(folder);
    const Ledger ledger = ledger_of(record.events);
    text = json ? to_json(ledger, record.skipped_lines).dump(2) + "\n"
                : to_text(folder, ledger, record.skipped_lines);
  });
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  return ExitCode::done;
}

}  // namespace tutti
