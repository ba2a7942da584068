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

}  // namespace
}  // namespace tutti
