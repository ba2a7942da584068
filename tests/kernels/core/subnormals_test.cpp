#include "kernels/core/subnormals.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(Subnormals, CountAsZeroInTheScopeAndNowhereElse) {
  const volatile float tiny = 0x1p-130f;
  EXPECT_GT(tiny * 2, 0.0f);
#ifdef __x86_64__
  {
    const FlushSubnormals scope;
    EXPECT_EQ(tiny * 2, 0.0f);
  }
#endif
  EXPECT_GT(tiny * 2, 0.0f);
}

}  // namespace
}  // namespace tutti
