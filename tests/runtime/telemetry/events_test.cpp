#include "runtime/telemetry/events.h"

#include <fstream>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

TEST(Events, LinesAreJsonAndALineCutByAKillDoesNotSpoilTheNext) {
  testing::ScratchFolder scratch("events");
  const auto file = scratch.path() / "events.jsonl";
  { EventLog(file).write("start", {{"ranks", 2}}); }
  std::ofstream(file, std::ios::app) << R"({"time": 1, "ev)";
  { EventLog(file).write("step", {{"loss", 0.5}}); }
  std::ifstream in(file);
  std::string first, cut, last;
  std::getline(in, first);
  std::getline(in, cut);
  std::getline(in, last);
  EXPECT_EQ(nlohmann::json::parse(first)["ranks"], 2);
  EXPECT_EQ(nlohmann::json::parse(last)["event"], "step");
  EXPECT_GT(nlohmann::json::parse(last)["time"].get<double>(), 1e9);
}

TEST(Events, AFolderThatIsNotThereIsAnError) {
  EXPECT_THROW(EventLog("/nonexistent/events.jsonl"), Error);
}

}  // namespace
}  // namespace tutti
