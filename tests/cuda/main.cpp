// Ends with 69, which counts as skipped, where there is no device.
#include <cstdio>

#include <gtest/gtest.h>

#include "kernels/core/device_error.h"
#include "tests/cuda/support.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    (void)tutti::test::backend().devices();
  } catch (const tutti::DeviceError& e) {
    std::printf("skipped: %s\n", e.what());
    return 69;
  }
  return RUN_ALL_TESTS();
}
