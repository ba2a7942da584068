#include "kernels/core/one_thread.h"

#include <gtest/gtest.h>

#include "kernels/core/parallel.h"

namespace tutti {
namespace {

TEST(OneThread, LoopsRunOnItAloneUntilItIsGone) {
  const int before = thread_count();
  {
    const OneThread alone;
    EXPECT_EQ(thread_count(), 1);
    parallel_for(100, [](std::int64_t) { EXPECT_EQ(thread_index(), 0); });
    const OneThread again;
  }
  EXPECT_EQ(thread_count(), before);
}

}  // namespace
}  // namespace tutti
