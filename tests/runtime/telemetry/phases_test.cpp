#include "runtime/telemetry/phases.h"

#include <thread>

#include <gtest/gtest.h>

#include "tests/support/mpi_main.h"

namespace tutti {
namespace {

TEST(Phases, TheTableHasEveryRanksPhasesAndTheRest) {
  PhaseTimer timer;
  {
    auto scope = timer.measure("forward");
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  if (testing::world().is_root()) auto scope = timer.measure("only-root");
  EXPECT_GE(timer.seconds("forward"), 0.03);
  EXPECT_EQ(timer.seconds("never"), 0);
  const std::string table = timer.table(testing::world());
  for (const char* text : {"forward", "only-root", "other", "total", "mean s"})
    EXPECT_NE(table.find(text), std::string::npos) << text;
}

TEST(Phases, TheTableTellsWhatRanBehindOtherPhases) {
  PhaseTimer timer;
  { auto scope = timer.measure("forward"); }
  EXPECT_EQ(timer.table(testing::world()).find("overlap"), std::string::npos);
  timer.add_hidden("reduce", 2);
  timer.add_hidden("reduce", 1);
  EXPECT_EQ(timer.hidden_seconds("reduce"), 3);
  EXPECT_NE(timer.table(testing::world())
                .find("overlap: 3.000 s of \"reduce\" ran behind other phases, 100% of it"),
            std::string::npos);
}

}  // namespace
}  // namespace tutti
