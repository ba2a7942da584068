#include "runtime/telemetry/events.h"

#include <chrono>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

TEST(Events, LinesAreJsonAndALineCutByAKillDoesNotSpoilTheNext) {
  testing::ScratchFolder scratch("events");
  const auto file = scratch.path() / "events.jsonl";
  const PhaseTimer phases;
  { EventLog(file, phases).write("start", {{"ranks", 2}}); }
  std::ofstream(file, std::ios::app) << R"({"time": 1, "ev)";
  { EventLog(file, phases).write("step", {{"loss", 0.5}}); }
  std::ifstream in(file);
  std::string first, cut, last;
  std::getline(in, first);
  std::getline(in, cut);
  std::getline(in, last);
  EXPECT_EQ(nlohmann::json::parse(first)["ranks"], 2);
  EXPECT_EQ(nlohmann::json::parse(last)["event"], "step");
  EXPECT_GT(nlohmann::json::parse(last)["time"].get<double>(), 1e9);
  EXPECT_GE(nlohmann::json::parse(last)["uptime_seconds"].get<double>(), 0);
  EXPECT_LT(nlohmann::json::parse(last)["uptime_seconds"].get<double>(), 1e3);
}

TEST(Events, TellsHowLongCheckpointsBlocked) {
  testing::ScratchFolder scratch("events_blocked");
  const auto file = scratch.path() / "events.jsonl";
  PhaseTimer phases;
  EventLog events(file, phases);
  events.write("before");
  {
    auto scope = phases.measure("checkpoint");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  events.write("after");
  std::ifstream in(file);
  std::string before, after;
  std::getline(in, before);
  std::getline(in, after);
  EXPECT_FALSE(nlohmann::json::parse(before).contains("checkpoint_seconds"));
  EXPECT_GE(nlohmann::json::parse(after).at("checkpoint_seconds").get<double>(), 0.02);
}

TEST(Events, AreAliveOnlyWhereNothingElseIsWritten) {
  testing::ScratchFolder scratch("events_alive");
  const auto count_alive = [](const std::filesystem::path& file) {
    int alive = 0;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);)
      alive += nlohmann::json::parse(line).at("event") == "alive";
    return alive;
  };
  const PhaseTimer phases;
  const auto silent = scratch.path() / "silent.jsonl", busy = scratch.path() / "busy.jsonl";
  {
    EventLog events(silent, phases);
    events.beat_every(std::chrono::milliseconds(10));
    while (count_alive(silent) < 3) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  {
    EventLog events(busy, phases);
    events.beat_every(std::chrono::minutes(10));
    for (int i = 0; i < 100; ++i) events.write("step", {{"step", i}});
  }  // and the end waits for no beat
  EXPECT_EQ(count_alive(busy), 0);
}

TEST(Events, AFolderThatIsNotThereIsAnError) {
  const PhaseTimer phases;
  EXPECT_THROW(EventLog("/nonexistent/events.jsonl", phases), Error);
}

}  // namespace
}  // namespace tutti
