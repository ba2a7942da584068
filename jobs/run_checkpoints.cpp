#include "jobs/run_checkpoints.h"

#include <cmath>
#include <utility>

#include "jobs/version.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/paths.h"
#include "runtime/telemetry/ledger.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(double seconds) { return std::round(seconds * 1e3) / 1e3; }

// Without a mean time between failures, what the run's own record says; the root's business, whose
// clock counts. None is known before the first failure.
CheckpointOptions with_failure_rate(CheckpointOptions options, const JobContext& context) {
  if (options.every_seconds != kAutomaticDuration || options.mtbf_seconds > 0 ||
      !context.comm.is_root())
    return options;
  const RunRecord record = read_run_record(context.run_folder / kEventsFile);
  options.mtbf_seconds = failure_rate_of(record.events).mean_seconds_between().value_or(0);
  if (options.mtbf_seconds > 0)
    log_info("{:.0f} s between failures of this run so far", options.mtbf_seconds);
  return options;
}

}  // namespace

RunCheckpoints::RunCheckpoints(JobContext& context, const CheckpointOptions& options,
                               std::string progress)
    : context_(context),
      progress_(std::move(progress)),
      checkpoints_(context.comm, context.run_folder / kCheckpointFolder,
                   with_failure_rate(options, context)) {
  checkpoints_.on_commit([this](std::int64_t generation, const nlohmann::json& state) {
    context_.events.write("checkpoint",
                          {{"generation", generation}, {progress_, state.at(progress_)}});
  });
  checkpoints_.on_failure([this](std::int64_t generation, const Error& error) {
    context_.events.write(
        "checkpoint_failed",
        {{"generation", generation}, {"what", error.problem()}, {"where", error.place()}});
  });
}

std::optional<nlohmann::json> RunCheckpoints::restore(const nlohmann::json& identity,
                                                      std::span<const ArraySlice> wanted) {
  const auto timed = context_.phases.measure("load");
  std::optional<nlohmann::json> state = checkpoints_.restore(identity, wanted);
  if (state) {
    log_info("resumed from checkpoint generation {} at {} {}", checkpoints_.generation(), progress_,
             state->at(progress_).dump());
    context_.events.write(
        "restore", {{"generation", checkpoints_.generation()}, {progress_, state->at(progress_)}});
  }
  return state;
}

// Looks at most once a second, and takes the file away.
bool RunCheckpoints::local_asked_by_file() {
  if (!context_.comm.is_root() || Clock::now() - last_look_ < std::chrono::seconds(1)) return false;
  last_look_ = Clock::now();
  std::error_code ignored;
  return std::filesystem::remove(context_.run_folder / kCheckpointNowFile, ignored);
}

bool RunCheckpoints::boundary(const std::function<Snapshot()>& take) {
  const auto timed = context_.phases.measure("checkpoint");
  const bool asked = take_checkpoint_request();
  const bool stops = checkpoints_.boundary({stop_requested(), asked || local_asked_by_file()},
                                           [&] { return signed_snapshot(take()); });
  if (stops)
    log_info("checkpoint generation {} before the end of this start", checkpoints_.generation());
  return stops;
}

void RunCheckpoints::save(const Snapshot& snapshot) {
  const auto timed = context_.phases.measure("checkpoint");
  checkpoints_.save(signed_snapshot(snapshot));
}

// For people: nothing is refused by it.
Snapshot RunCheckpoints::signed_snapshot(Snapshot snapshot) const {
  snapshot.state["version"] = kVersion;
  return snapshot;
}

void RunCheckpoints::report() {
  const CheckpointCost& cost = checkpoints_.cost();
  if (cost.checkpoints() == 0) return;
  Comm& comm = context_.comm;
  const auto slowest = [&](double seconds) { return milliseconds(comm.all_reduce_max(seconds)); };
  context_.result.update({{"checkpoints", cost.checkpoints()},
                          {"checkpoint_bytes", comm.all_reduce_sum(cost.bytes())},
                          {"checkpoint_blocking_seconds", slowest(cost.blocking_seconds())},
                          {"checkpoint_copy_seconds", slowest(cost.copy_seconds())},
                          {"checkpoint_slowdown_seconds", slowest(cost.slowdown_seconds())}});
  log_info(
      "{} checkpoints beside the steps: {:.3f} s blocked, {:.3f} s of them the copies; steps "
      "beside a write took {:.3f} s longer",
      cost.checkpoints(), cost.blocking_seconds(), cost.copy_seconds(), cost.slowdown_seconds());
}

}  // namespace tutti
