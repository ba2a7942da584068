#include "runtime/comm/watchdog.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>
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

// Seconds from the death of a process until its child, a rank, has ended; at most 10.
double seconds_outlived(bool watched) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t launcher = fork();
  if (launcher == 0) {
    if (fork() == 0) {
      close(ends[0]);
      Watchdog watchdog(1, "node2", 1);
      if (watched) watchdog.end_with_launcher(0.2);
      std::this_thread::sleep_for(std::chrono::seconds(2));
      _exit(0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // it has looked at its parent
    _exit(0);
  }
  close(ends[1]);
  waitpid(launcher, nullptr, 0);
  const auto start = std::chrono::steady_clock::now();
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);  // when nobody can write any more
  close(ends[0]);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Watchdog, ARankEndsWithItsLauncher) {
  EXPECT_LT(seconds_outlived(true), 1.5);
  EXPECT_GT(seconds_outlived(false), 1.5) << "a rank that nobody launched";
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
