#include "runtime/base/stop.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace tutti {
namespace {

TEST(Stop, ASignalSetsTheFlagAndNothingElse) {
  install_stop_handlers();
  EXPECT_FALSE(stop_requested());
  EXPECT_STREQ(stop_reason(), "");
  raise(SIGUSR2);
  EXPECT_TRUE(stop_requested());
  EXPECT_STREQ(stop_reason(), "SIGUSR2");
}

TEST(Stop, TheTimeLimitAsksToo) {
  set_time_limit(1e-9);
  EXPECT_TRUE(stop_requested());
}

}  // namespace
}  // namespace tutti
