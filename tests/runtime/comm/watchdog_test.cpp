#include "runtime/comm/watchdog.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

namespace tutti {
namespace {

TEST(WatchdogDeathTest, AWaitThatIsTooLongEndsTheProcessWithItsName) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Watchdog watchdog(3, "node7", 0.2);
        watchdog.set_step(41);
        Watchdog::Wait wait(&watchdog, "all-reduce");
        std::this_thread::sleep_for(std::chrono::seconds(20));
      },
      ::testing::ExitedWithCode(76), "rank 3 on node7 .* all-reduce at step 41");
}

TEST(Watchdog, ShortWaitsAndPausesBetweenThemAreFine) {
  Watchdog watchdog(0, "here", 0.3);
  for (int i = 0; i < 10; ++i) {
    Watchdog::Wait wait(&watchdog, "barrier");
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
}

}  // namespace
}  // namespace tutti
