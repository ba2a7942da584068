// The fake device itself: it must not forgive what a GPU does not.
#include <cuda_instructions.h>

#include "kernels/core/device_error.h"
#include "kernels/cuda/launch.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::launch;

void half_at_barrier(int*) {
  if (threadIdx.x % 2 == 0)
    __syncthreads();
  else
    __syncwarp();
}
void write_at(float* to, std::int64_t at) { to[at] = 1; }
void meet_differently(int*) {
  if (threadIdx.x < 16)
    __syncwarp();
  else
    (void)__shfl_sync(0xffffffffu, 1, 0);
}
void write_behind_shared(int*) { cuda::dynamic_shared<char>()[64] = 1; }
void copy_without_waiting(const float* from, float* to) {
  float* shared = cuda::dynamic_shared<float>();
  cuda::copy_async_16(shared, from);
  cuda::commit_copies();
  to[0] = shared[0];
  cuda::wait_copies<0>();
  to[1] = shared[0];
}
// Each thread reads what its neighbour writes, without a barrier: the result depends on the order.
void race(int* to) {
  int* shared = cuda::dynamic_shared<int>();
  shared[threadIdx.x] = int(threadIdx.x);
  to[threadIdx.x] = shared[(threadIdx.x + 1) % 32];
}

TEST(FakeCuda, ThreadsThatWaitForEachOtherAreFound) {
  EXPECT_DEATH(launch({dim3(1), dim3(32)}, test::stream(), half_at_barrier, nullptr), "wait for");
  EXPECT_DEATH(launch({dim3(1), dim3(32)}, test::stream(), meet_differently, nullptr),
               "different calls");
}

TEST(FakeCuda, WritesOutsideOfBuffersAreFound) {
  for (const std::int64_t at : {-1, 10})
    EXPECT_DEATH(
        {
          cuda::DeviceBuffer<float> buffer(10);
          launch({dim3(1), dim3(1)}, test::stream(), write_at, buffer.data(), at);
        },
        "in front of or behind");
  EXPECT_DEATH(launch({dim3(1), dim3(1), 64}, test::stream(), write_behind_shared, nullptr),
               "behind its shared memory");
}

TEST(FakeCuda, TheHostCannotTouchDeviceMemory) {
  cuda::DeviceBuffer<float> buffer(10);
  EXPECT_DEATH(buffer.data()[0] = 1, "");
}

TEST(FakeCuda, FreshMemoryIsNaN) {
  for (const float value : test::on_host(cuda::DeviceBuffer<float>(100)))
    EXPECT_TRUE(std::isnan(value));
}

TEST(FakeCuda, WhatIsNotWaitedForHasNotArrived) {
  const auto from = test::on_device(std::vector<float>{5, 6, 7, 8});
  cuda::DeviceBuffer<float> to(2);
  launch({dim3(1), dim3(1), 64}, test::stream(), copy_without_waiting, from.data(), to.data());
  EXPECT_TRUE(std::isnan(test::on_host(to)[0]));
  EXPECT_EQ(test::on_host(to)[1], 5);
}

TEST(FakeCuda, AMissingBarrierShowsBetweenLaunches) {
  cuda::DeviceBuffer<int> one(32), two(32);
  launch({dim3(1), dim3(32), 128}, test::stream(), race, one.data());
  launch({dim3(1), dim3(32), 128}, test::stream(), race, two.data());
  EXPECT_NE(test::on_host(one), test::on_host(two));
}

TEST(FakeCuda, LaunchesThatAGpuRefusesAreRefused) {
  EXPECT_THROW(launch({dim3(1), dim3(2048)}, test::stream(), race, nullptr), DeviceError);
  EXPECT_THROW(launch({dim3(1), dim3(32), 64 << 10}, test::stream(), race, nullptr), DeviceError);
  EXPECT_THROW(launch({dim3(0), dim3(32)}, test::stream(), race, nullptr), DeviceError);
}

}  // namespace
}  // namespace tutti
