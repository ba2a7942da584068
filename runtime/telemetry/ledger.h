// Where a run's wall time went, over all its starts: what `tutti goodput` prints and what a
// checkpoint interval follows from. FORMAT.md says how the parts follow from events.jsonl.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <istream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

// What the ledger reads of a line of events.jsonl.
struct RunEvent {
  std::string name;
  double time = 0;                 // wall clock, seconds since 1970
  double uptime = -1;              // seconds since the process started; negative where not told
  double checkpoint_seconds = 0;   // of these, blocked by checkpoints; 0 where not told
  std::int64_t position = -1;      // steps or iterations that are done; negative where not told
  std::int64_t last_position = 0;  // steps or iterations that there will be; 0 where not told
  int code = 0;                    // the exit code that an `end` or `error` names
  std::string job;                 // of a `start`
  double submitted = -1;           // wall clock, of a `start`; negative where not told
};

struct RunRecord {
  std::vector<RunEvent> events;
  std::int64_t skipped_lines = 0;  // cut off by a kill, or no event
};

// Reads lines of events.jsonl; what is no event is skipped and counted. Local.
RunRecord read_run_record(std::istream& lines);
// The same of a file. Throws Error(data) where it cannot be read.
RunRecord read_run_record(const std::filesystem::path& file);

// Every second of a run is of one of these.
enum class TimeUse { productive, checkpoint, lost, waiting, startup, other };
inline constexpr std::array kTimeUses = {TimeUse::productive, TimeUse::checkpoint, TimeUse::lost,
                                         TimeUse::waiting,    TimeUse::startup,    TimeUse::other};
std::string_view name_of(TimeUse use);

// How often a run fails.
struct FailureRate {
  std::int64_t failures = 0;  // kills, and errors that are not the user's
  double seconds_run = 0;     // by all starts together, the present one included
  // Mean time between failures in seconds; none before the first failure.
  std::optional<double> mean_seconds_between() const;
};

struct Ledger {
  std::array<double, kTimeUses.size()> seconds{};  // by TimeUse
  double whole_seconds = 0;  // the timeline's length, added up by itself; the sum of `seconds`
  double run_seconds = 0;    // the same without waiting

  std::int64_t starts = 0;
  std::int64_t done = 0, stopped = 0;  // ended with exit code 0; with 75
  std::int64_t failed = 0;             // told an error that is not the user's
  std::int64_t refused = 0;            // told an error of command line, data or equipment
  std::int64_t killed = 0;             // left no end, and another start followed
  bool open = false;                   // the last start left no end: it runs, or was killed
  bool resumable = false;  // the last start is not done: what is beyond `kept_position` is lost
  std::int64_t lost_steps = 0;     // or iterations, that were done and are not in what came after
  std::int64_t kept_position = 0;  // of the last checkpoint

  double idle_seconds = 0;        // between a start that was done and the next: not counted
  double clock_back_seconds = 0;  // by which the wall clock was set back, all together

  double of(TimeUse use) const { return seconds[std::size_t(use)]; }
  // Productive share of the whole; 0 for no time at all.
  double goodput() const { return whole_seconds > 0 ? of(TimeUse::productive) / whole_seconds : 0; }
  FailureRate failure_rate() const { return {killed + failed, run_seconds}; }
};

// The ledger of a run, from its events in the order of the file. A function of these alone.
Ledger ledger_of(std::span<const RunEvent> events);

// Failures and time so far, also from within the run: a start that has not ended is no failure. A
// function of the events alone.
FailureRate failure_rate_of(std::span<const RunEvent> events);

}  // namespace tutti
