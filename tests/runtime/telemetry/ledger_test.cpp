// The ledger of runs whose answer is known.
#include "runtime/telemetry/ledger.h"

#include <numeric>
#include <sstream>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

// A run as events.jsonl tells it: starts, each with a wall clock of its own.
class Told {
 public:
  // A process that starts at `wall` and tells of it 2 s later.
  Told& start(double wall, const std::string& job = "train") {
    wall_ = wall;
    return add(2, "start", R"("job": ")" + job + '"');
  }
  Told& add(double uptime, const std::string& event, const std::string& fields = "") {
    text_ << R"({"time": )" << std::fixed << wall_ + uptime << R"(, "event": ")" << event
          << R"(", "uptime_seconds": )" << uptime << (fields.empty() ? "" : ", ") << fields
          << "}\n";
    return *this;
  }
  Told& ready(double uptime, int from) {
    return add(uptime, "ready", R"("from": )" + std::to_string(from) + R"(, "of": 10)");
  }
  Told& step(double uptime, int step, double checkpoint_seconds = 0) {
    return add(uptime, "step",
               R"("step": )" + std::to_string(step) + R"(, "steps": 10, "checkpoint_seconds": )" +
                   std::to_string(checkpoint_seconds));
  }
  Told& checkpoint(double uptime, int step) {
    return add(uptime, "checkpoint", R"("generation": 1, "step": )" + std::to_string(step));
  }
  Told& end(double uptime, int code) {
    return add(uptime, "end", R"("exit_code": )" + std::to_string(code));
  }
  Told& line(const std::string& text) {
    text_ << text << "\n";
    return *this;
  }
  RunRecord record() const {
    std::istringstream in(text_.str());
    return read_run_record(in);
  }
  Ledger ledger() const { return ledger_of(record().events); }

 private:
  std::ostringstream text_;
  double wall_ = 0;
};

// In the order of TimeUse: productive, checkpoint, lost, waiting, start-up, other.
void expect_uses(const Ledger& ledger, const std::vector<double>& seconds) {
  for (const TimeUse use : kTimeUses)
    EXPECT_NEAR(ledger.of(use), seconds.at(std::size_t(use)), 1e-6) << name_of(use);
  EXPECT_NEAR(ledger.whole_seconds, std::accumulate(seconds.begin(), seconds.end(), 0.0), 1e-6);
}

TEST(Ledger, ARunWithoutTrouble) {
  const Ledger ledger = Told()
                            .start(1000)
                            .ready(5, 0)
                            .step(8, 1)
                            .checkpoint(8.5, 1)
                            .step(12, 2, 1)
                            .add(15, "evaluation", R"("step": 2)")
                            .step(18, 3, 1)
                            .add(20, "evaluation", R"("step": 3, "checkpoint_seconds": 1.5)")
                            .add(24, "saved")
                            .end(25, 0)
                            .ledger();
  expect_uses(ledger, {3 + 3 + 3, 1.5, 0, 0, 5, 3 + 1.5 + 4 + 1});
  EXPECT_DOUBLE_EQ(ledger.goodput(), 9.0 / 25);
  EXPECT_EQ(ledger.starts, 1);
  EXPECT_EQ(ledger.done, 1);
  EXPECT_FALSE(ledger.open || ledger.resumable);
  EXPECT_FALSE(ledger.failure_rate().mean_seconds_between());
  EXPECT_DOUBLE_EQ(ledger.failure_rate().seconds_run, 25);
}

TEST(Ledger, AKillLosesWhatTheNextStartDoesNotHave) {
  const Ledger ledger = Told()
                            .start(1000)
                            .ready(4, 0)
                            .step(10, 1)
                            .step(20, 2)
                            .checkpoint(21, 2)
                            .step(30, 3, 2)
                            .step(40, 4, 2)
                            .add(47, "alive")  // killed after that
                            .start(1100)
                            .ready(6, 2)
                            .step(16, 3)
                            .step(26, 4)
                            .end(26, 0)
                            .ledger();
  expect_uses(ledger, {16 + 20, 2, 8 + 10 + 7, 1100 - 1047, 4 + 6, 0});
  EXPECT_EQ(ledger.lost_steps, 2);
  EXPECT_EQ(ledger.killed, 1);
  EXPECT_EQ(ledger.done, 1);
  EXPECT_DOUBLE_EQ(*ledger.failure_rate().mean_seconds_between(), 47 + 26);
}

TEST(Ledger, ADamagedCheckpointTakesBackWhatEarlierStartsDid) {
  const Ledger ledger = Told()
                            .start(0)
                            .ready(2, 0)
                            .step(3, 1)
                            .step(4, 2)
                            .start(10)
                            .ready(2, 2)
                            .step(3, 3)
                            .start(20)
                            .ready(2, 1)
                            .step(3, 2)
                            .end(3, 75)
                            .ledger();
  expect_uses(ledger, {1 + 1, 0, 1 + 1, 6 + 7, 2 + 2 + 2, 0});
  EXPECT_EQ(ledger.lost_steps, 2);
  EXPECT_EQ(ledger.stopped, 1);
}

TEST(Ledger, AStartAfreshLosesAll) {
  const Ledger ledger =
      Told().start(0).ready(2, 0).step(3, 1).start(3).ready(2, 0).step(3, 1).end(3, 0).ledger();
  expect_uses(ledger, {1, 0, 1, 0, 4, 0});
  EXPECT_EQ(ledger.lost_steps, 1);
}

TEST(Ledger, AStopIsNoFailureAndLosesNothing) {
  const Ledger ledger = Told()
                            .start(0)
                            .ready(2, 0)
                            .step(3, 1)
                            .checkpoint(5, 1)
                            .add(6, "end", R"("exit_code": 75, "checkpoint_seconds": 2)")
                            .start(60)
                            .ready(3, 1)
                            .step(5, 2)
                            .end(5, 0)
                            .ledger();
  expect_uses(ledger, {1 + 2, 2, 0, 54, 2 + 3, 1});
  EXPECT_EQ(ledger.failure_rate().failures, 0);
  EXPECT_EQ(ledger.stopped, 1);
}

TEST(Ledger, WithoutANextStartWhatNoCheckpointHoldsIsLost) {
  Told run;
  run.start(0).ready(2, 0).step(3, 1).step(4, 2).checkpoint(4.5, 1).step(5, 3).add(6, "alive");
  const Ledger ledger = run.ledger();
  expect_uses(ledger, {1, 0, 1 + 1 + 1, 0, 2, 0});
  EXPECT_TRUE(ledger.open && ledger.resumable);
  EXPECT_EQ(ledger.kept_position, 1);
  EXPECT_EQ(ledger.lost_steps, 2);
  EXPECT_EQ(ledger.killed, 0) << "it may run";
}

TEST(Ledger, KilledBeforeItWasReady) {
  const Ledger ledger = Told()
                            .start(0)
                            .ready(2, 0)
                            .step(3, 1)
                            .checkpoint(3, 1)
                            .start(10)
                            .start(20)
                            .ready(4, 1)
                            .step(5, 2)
                            .end(5, 0)
                            .ledger();
  expect_uses(ledger, {2, 0, 0, 7 + 8, 2 + 2 + 4, 0});
  EXPECT_EQ(ledger.killed, 2);
}

TEST(Ledger, ErrorsOfTheUserAreNoFailures) {
  Told run;
  run.start(0).ready(2, 0).step(3, 1).checkpoint(3, 1);
  run.add(4, "error", R"("code": 74)").start(10).add(3, "error", R"("code": 64)");
  run.start(20).ready(2, 1).step(3, 2).end(3, 0).add(4, "error", R"("code": 74)");
  const Ledger ledger = run.ledger();
  EXPECT_EQ(ledger.failed, 2) << "the last one could not write its result";
  EXPECT_EQ(ledger.refused, 1);
  EXPECT_EQ(ledger.done, 0);
  EXPECT_EQ(ledger.failure_rate().failures, 2);
  EXPECT_DOUBLE_EQ(*ledger.failure_rate().mean_seconds_between(), (4 + 3 + 4) / 2.0);
}

TEST(Ledger, AClockThatGoesBackMakesNothingNegative) {
  const Ledger ledger = Told()
                            .start(1000)
                            .ready(2, 0)
                            .step(3, 1)
                            .checkpoint(3, 1)
                            .start(500)
                            .ready(2, 1)
                            .step(3, 2)
                            .end(3, 0)
                            .ledger();
  expect_uses(ledger, {2, 0, 0, 0, 4, 0});
  EXPECT_DOUBLE_EQ(ledger.clock_back_seconds, 1003 - 500);
}

TEST(Ledger, AClockThatJumpsWithinAStartChangesNothingInIt) {
  Told run;
  run.start(1000).ready(2, 0);
  run.line(R"({"time": 5, "event": "step", "uptime_seconds": 4, "step": 1, "steps": 1})");
  run.line(R"({"time": 9000, "event": "end", "uptime_seconds": 5, "exit_code": 0})");
  expect_uses(run.ledger(), {3, 0, 0, 0, 2, 0});
  EXPECT_DOUBLE_EQ(run.ledger().clock_back_seconds, 1002 - 5);
}

TEST(Ledger, TheFirstStartWaitsFromItsSubmission) {
  const auto submitted = [](int time) {
    Told run;
    run.line(
        R"({"time": 1002, "event": "start", "uptime_seconds": 2, "job": "train", "submitted": )" +
        std::to_string(time) + "}");
    run.line(R"({"time": 1003, "event": "ready", "uptime_seconds": 3, "from": 0, "of": 10})");
    run.line(R"({"time": 1004, "event": "step", "uptime_seconds": 4, "step": 1, "steps": 10})");
    run.line(R"({"time": 1004, "event": "checkpoint", "uptime_seconds": 4, "step": 1})");
    // Submitted with the first one: its wait began when that one ended.
    run.line(
        R"({"time": 1102, "event": "start", "uptime_seconds": 2, "job": "train", "submitted": )" +
        std::to_string(time) + "}");
    run.line(R"({"time": 1103, "event": "ready", "uptime_seconds": 3, "from": 1, "of": 10})");
    return run.ledger();
  };
  expect_uses(submitted(400), {1, 0, 0, 600 + 96, 3 + 3, 0});
  expect_uses(submitted(2000), {1, 0, 0, 96, 3 + 3, 0});
  EXPECT_EQ(submitted(400).idle_seconds, 0);
}

TEST(Ledger, ARunThatIsDoneWaitsForNobodyAndKeepsItsWork) {
  const Ledger ledger = Told()
                            .start(0)
                            .ready(2, 0)
                            .step(3, 1)
                            .end(3, 0)
                            .start(1000)
                            .ready(2, 0)  // the checkpoints were deleted
                            .step(3, 1)
                            .end(3, 0)
                            .ledger();
  expect_uses(ledger, {2, 0, 0, 0, 4, 0});
  EXPECT_DOUBLE_EQ(ledger.idle_seconds, 997);
}

TEST(Ledger, AJobWithoutStepsIsProductiveFromWhenItIsReady) {
  const Ledger ledger = Told()
                            .start(0, "embed")
                            .add(3, "ready")
                            .add(13, "alive")
                            .start(20, "embed")
                            .add(4, "ready")
                            .end(10, 0)
                            .ledger();
  expect_uses(ledger, {10 + 6, 0, 0, 7, 3 + 4, 0});
}

TEST(Ledger, WhatFollowsTheLastIterationIsOnlyKeptByTheEnd) {
  const auto index = [](Told& run, double uptime) {
    run.add(uptime, "ready", R"("from": 0, "of": 1)");
    run.add(uptime + 1, "kmeans", R"("iteration": 1, "iterations": 1)");
    run.checkpoint(uptime + 1, 1);
  };
  Told run;
  run.start(0, "index");
  index(run, 2);
  run.end(10, 75);  // stopped while it wrote lists
  run.start(10, "index").add(3, "ready", R"("from": 1, "of": 1)").end(9, 0);
  expect_uses(run.ledger(), {1 + 6, 0, 7, 0, 2 + 3, 0});
}

TEST(Ledger, AssignedVectorsAreKept) {
  Told run;
  run.start(1000, "index").add(3, "ready", R"("from": 0, "of": 1)");
  run.add(5, "kmeans", R"("iteration": 1, "iterations": 1)");
  run.add(6, "checkpoint", R"("generation": 1, "iteration": 1)");
  run.add(9, "assigned", R"("vectors": 100, "of": 200)").add(10, "alive");
  run.start(1010, "index").add(3, "ready", R"("from": 1, "of": 1)");
  run.add(8, "assigned", R"("vectors": 200, "of": 200)").end(9, 0);
  expect_uses(run.ledger(), {2 + 4 + 5 + 1, 0, 1, 0, 3 + 3, 0});
}

TEST(Ledger, ARecordFromBeforeUptimesIsReadByTheWallClock) {
  Told run;
  run.line(R"({"time": 100, "event": "start", "job": "train"})");
  run.line(R"({"time": 104, "event": "step", "step": 1, "steps": 3})");
  run.line(R"({"time": 106, "event": "step", "step": 2, "steps": 3})");
  run.line(R"({"time": 110, "event": "start", "job": "train"})");
  run.line(R"({"time": 111, "event": "restore", "step": 1})");
  run.line(R"({"time": 113, "event": "step", "step": 2, "steps": 3})");
  run.line(R"({"time": 114, "event": "end", "exit_code": 0})");
  expect_uses(run.ledger(), {1, 0, 2, 4, 4 + 3, 0});
}

TEST(Ledger, LinesThatAreNoEventsAreSkippedAndCounted) {
  Told run;
  run.line(R"({"time": 1, "ev)").line("[]").line(R"({"event": "step"})").line("\xff\xfe");
  run.line(R"({"time": 1e300, "event": "step"})").line(R"({"time": -1, "event": "step"})");
  run.start(0).ready(2, 0).add(3, "of another version", R"("from": -7)").step(4, 1).end(4, 0);
  EXPECT_EQ(run.record().skipped_lines, 6);
  expect_uses(run.ledger(), {2, 0, 0, 0, 2, 0});
}

TEST(Ledger, NothingIsALedgerToo) {
  const Ledger ledger = ledger_of({});
  expect_uses(ledger, {0, 0, 0, 0, 0, 0});
  EXPECT_EQ(ledger.goodput(), 0);
  EXPECT_FALSE(ledger.open || ledger.resumable);
}

TEST(Ledger, TheRateOfFailuresFromWithinTheRun) {
  Told run;
  run.start(0).ready(2, 0).step(10, 1);
  EXPECT_EQ(failure_rate_of(run.record().events).failures, 0);
  EXPECT_FALSE(failure_rate_of(run.record().events).mean_seconds_between());
  run.start(100).ready(2, 0).step(30, 1);
  EXPECT_EQ(failure_rate_of(run.record().events).failures, 1);
  EXPECT_DOUBLE_EQ(*failure_rate_of(run.record().events).mean_seconds_between(), 40);
}

TEST(Ledger, AFileThatCannotBeReadIsAnError) {
  testing::ScratchFolder scratch("ledger");
  for (const auto& file : {scratch.path() / "missing.jsonl", scratch.path()}) try {
      read_run_record(file);
      FAIL() << file;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      EXPECT_EQ(e.place(), file.string());
    }
}

}  // namespace
}  // namespace tutti
