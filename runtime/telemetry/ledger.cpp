#include "runtime/telemetry/ledger.h"

#include <algorithm>
#include <numeric>

#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr double kClockNoise = 1;  // seconds by which clocks of two hosts may differ unreported

// How a start ended, as far as its events tell.
enum class Outcome { done, stopped, failed, refused, none };

Outcome outcome_of_error(int code) {
  const bool users = code == int(ExitCode::usage) || code == int(ExitCode::data) ||
                     code == int(ExitCode::unavailable);
  return users ? Outcome::refused : Outcome::failed;
}

// An error may follow an `end`, where the result could not be written; several may be told.
Outcome outcome_of(std::span<const RunEvent> events) {
  Outcome outcome = Outcome::none;
  for (const RunEvent& event : events) {
    if (event.name == "error" && outcome != Outcome::failed) outcome = outcome_of_error(event.code);
    if (event.name == "end")
      outcome = event.code == int(ExitCode::stopped) ? Outcome::stopped : Outcome::done;
  }
  return outcome;
}

// The events of each start; what comes before the first `start` is one, too.
std::vector<std::span<const RunEvent>> starts_of(std::span<const RunEvent> events) {
  std::vector<std::span<const RunEvent>> starts;
  for (std::size_t begin = 0, end = 1; begin < events.size(); begin = end++) {
    while (end < events.size() && events[end].name != "start") ++end;
    starts.push_back(events.subspan(begin, end - begin));
  }
  return starts;
}

// Goes through the timeline once and gives each interval its use. Work that a later start may turn
// out to have lost waits on a stack, in order of the position that it reached.
class Bookkeeper {
 public:
  void add_start(std::span<const RunEvent> events);
  Ledger finish();

 private:
  enum class Stage { starting, working, saving };
  struct Work {
    std::int64_t from, to;  // steps done before and after
    double seconds;
  };

  void wait_until(const RunEvent& first);
  void follow_clock(const RunEvent& event);
  void book(const RunEvent& event);
  void begin_work(std::int64_t position);
  void step(const RunEvent& event);
  void end_start(Outcome outcome);
  double cut();
  void use(TimeUse what, double seconds) { ledger_.seconds[std::size_t(what)] += seconds; }
  void rewind(std::int64_t position);
  void settle();

  Ledger ledger_;
  std::vector<Work> work_;
  std::string job_;
  Outcome outcome_ = Outcome::done;  // of the start before
  double last_time_ = 0;             // wall clock of the event before
  std::int64_t kept_ = 0;            // position of the last checkpoint

  // Of the present start; moments are seconds since it started.
  Stage stage_ = Stage::starting;
  bool counts_steps_ = false;
  double moment_ = 0, cut_ = 0;              // of the event before; up to here all is given its use
  double blocked_ = 0, blocked_booked_ = 0;  // by checkpoints, as told and as given its use
  std::int64_t position_ = 0, last_position_ = 0;
};

// The time between two starts, or before the first where it is known when that was submitted. A
// start's own time comes from the steady clock, so that only here does the wall clock decide.
void Bookkeeper::wait_until(const RunEvent& first) {
  const bool again = ledger_.starts > 0;
  if (!again && first.submitted < 0) return;
  const double since = again ? last_time_ : first.submitted,
               gap = first.time - std::max(0.0, first.uptime) - since;
  if (gap < -kClockNoise) ledger_.clock_back_seconds -= gap;
  if (again && outcome_ == Outcome::done) {  // nobody waits for a run that is done
    ledger_.idle_seconds += std::max(0.0, gap);
    return;
  }
  use(TimeUse::waiting, std::max(0.0, gap));
  ledger_.whole_seconds += std::max(0.0, gap);
}

void Bookkeeper::follow_clock(const RunEvent& event) {
  const double passed = event.time - last_time_;
  if (passed < -kClockNoise) ledger_.clock_back_seconds -= passed;
  moment_ = std::max(moment_, event.uptime >= 0 ? event.uptime : moment_ + passed);
  blocked_ = std::max(blocked_, event.checkpoint_seconds);
  last_time_ = event.time;
}

// What no event has cut off yet, less what of it belongs to checkpoints.
double Bookkeeper::cut() {
  const double span = moment_ - cut_, blocked = std::min(span, blocked_ - blocked_booked_);
  use(TimeUse::checkpoint, blocked);
  blocked_booked_ += blocked;
  cut_ = moment_;
  return span - blocked;
}

void Bookkeeper::add_start(std::span<const RunEvent> events) {
  ledger_.killed += ledger_.starts > 0 && outcome_ == Outcome::none;
  wait_until(events.front());
  if (events.front().job != job_) settle();  // another job in the same folder
  job_ = events.front().job;
  ++ledger_.starts;
  stage_ = Stage::starting;
  counts_steps_ = false;
  moment_ = cut_ = blocked_ = blocked_booked_ = 0;
  position_ = last_position_ = 0;
  last_time_ = events.front().time;
  for (const RunEvent& event : events) {
    follow_clock(event);
    book(event);
  }
  end_start(outcome_of(events));
}

void Bookkeeper::book(const RunEvent& event) {
  if (event.name == "ready") {
    use(TimeUse::startup, cut());
    if (event.position >= 0) begin_work(event.position);
    last_position_ = event.last_position;
    stage_ = Stage::working;
  } else if ((event.name == "step" || event.name == "kmeans") && event.position > 0) {
    step(event);
  } else if ((event.name == "assigned" || event.name == "groups" || event.name == "graph") &&
             stage_ == Stage::working) {
    work_.push_back({position_, position_, cut()});
  } else if (event.name == "evaluation" && stage_ != Stage::starting) {
    use(TimeUse::other, cut());
  } else if (event.name == "saved") {
    use(TimeUse::other, cut());
    stage_ = Stage::saving;
  } else if (event.name == "checkpoint" && event.position >= 0) {
    kept_ = event.position;
  }
}

// The start goes on from `position`: what was done beyond it by those before is lost.
void Bookkeeper::begin_work(std::int64_t position) {
  rewind(position);
  position_ = kept_ = position;
  counts_steps_ = true;
}

void Bookkeeper::step(const RunEvent& event) {
  const std::int64_t reached = event.position;
  if (stage_ == Stage::starting) {  // a record without `ready`: the first step counts as start-up
    use(TimeUse::startup, cut());
    stage_ = Stage::working;
  }
  if (!counts_steps_) begin_work(reached - 1);
  if (reached <= position_) rewind(reached - 1);
  work_.push_back({std::min(position_, reached - 1), reached, cut()});
  position_ = reached;
  last_position_ = std::max(last_position_, event.last_position);
}

// Gives what comes after the last event that says so its use. Work that has no step to show for is
// only kept by the job's end, unless the job knows no steps.
void Bookkeeper::end_start(Outcome outcome) {
  const double rest = cut();
  if (stage_ == Stage::starting)
    use(TimeUse::startup, rest);
  else if (stage_ == Stage::saving)
    use(TimeUse::other, rest);
  else if (!counts_steps_ || outcome == Outcome::done)
    work_.push_back({position_, position_, rest});
  else if (outcome == Outcome::stopped && position_ < last_position_)
    use(TimeUse::other, rest);
  else
    use(TimeUse::lost, rest);
  ledger_.run_seconds += moment_;
  ledger_.whole_seconds += moment_;
  ledger_.done += outcome == Outcome::done;
  ledger_.stopped += outcome == Outcome::stopped;
  ledger_.failed += outcome == Outcome::failed;
  ledger_.refused += outcome == Outcome::refused;
  if (outcome == Outcome::stopped && counts_steps_) kept_ = position_;
  if (outcome == Outcome::done) {
    kept_ = std::max(kept_, position_);
    settle();
  }
  outcome_ = outcome;
}

void Bookkeeper::rewind(std::int64_t position) {
  while (!work_.empty() && work_.back().to > position) {
    const Work& lost = work_.back();
    use(TimeUse::lost, lost.seconds);
    ledger_.lost_steps += lost.to - std::max(lost.from, position);
    work_.pop_back();
  }
}

// Nobody goes on from here: what no checkpoint holds is lost, and the rest was worth while.
void Bookkeeper::settle() {
  rewind(kept_);
  for (const Work& done : work_) use(TimeUse::productive, done.seconds);
  work_.clear();
  kept_ = 0;
}

Ledger Bookkeeper::finish() {
  ledger_.kept_position = kept_;
  ledger_.open = ledger_.starts > 0 && outcome_ == Outcome::none;
  ledger_.resumable = ledger_.starts > 0 && outcome_ != Outcome::done;
  settle();
  return ledger_;
}

}  // namespace

std::string_view name_of(TimeUse use) {
  constexpr std::array<std::string_view, kTimeUses.size()> kNames = {
      "productive", "checkpoint", "lost", "waiting", "start-up", "other"};
  return kNames[std::size_t(use)];
}

std::optional<double> FailureRate::mean_seconds_between() const {
  return failures > 0 ? std::optional(seconds_run / double(failures)) : std::nullopt;
}

Ledger ledger_of(std::span<const RunEvent> events) {
  Bookkeeper bookkeeper;
  for (const auto& start : starts_of(events)) bookkeeper.add_start(start);
  return bookkeeper.finish();
}

FailureRate failure_rate_of(std::span<const RunEvent> events) {
  return ledger_of(events).failure_rate();
}

}  // namespace tutti
