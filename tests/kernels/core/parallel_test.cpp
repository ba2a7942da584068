#include "kernels/core/parallel.h"

#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/core/scratch.h"

namespace tutti {
namespace {

class Parallel : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { omp_set_num_threads(GetParam()); }
  void TearDown() override { omp_set_num_threads(before_); }

 private:
  int before_ = omp_get_max_threads();
};

TEST_P(Parallel, VisitsEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 2, 7, 100}) {
    std::vector<int> visits(count), dynamic_visits(count);
    parallel_for(count, [&](std::int64_t i) { ++visits[i]; });
    parallel_for_dynamic(count, [&](std::int64_t i) { ++dynamic_visits[i]; });
    EXPECT_EQ(visits, std::vector<int>(count, 1));
    EXPECT_EQ(dynamic_visits, std::vector<int>(count, 1));
  }
}

TEST_P(Parallel, NestedLoopsAreSerial) {
  EXPECT_EQ(thread_count(), GetParam());
  std::vector<int> inner(8);
  parallel_for(8, [&](std::int64_t i) {
    EXPECT_EQ(thread_count(), 1);
    EXPECT_LT(thread_index(), GetParam());
    parallel_for(3, [&](std::int64_t) { ++inner[i]; });
  });
  EXPECT_EQ(inner, std::vector<int>(8, 3));
}

TEST_P(Parallel, ThrowsToTheCaller) {
  const auto fail = [](std::int64_t i) {
    if (i == 5) throw std::runtime_error("five");
  };
  EXPECT_THROW(parallel_for(10, fail), std::runtime_error);
  EXPECT_THROW(parallel_for_dynamic(10, fail), std::runtime_error);
}

TEST_P(Parallel, ScratchIsPerThreadAndKept) {
  ThreadScratch scratch(2);
  scratch.prepare();
  std::vector<int> sums(16);
  parallel_for_dynamic(16, [&](std::int64_t i) {
    int* a = scratch.get<int>(0, 100);
    int* b = scratch.get<int>(1, 100);
    for (int k = 0; k < 100; ++k) a[k] = 1, b[k] = 2;
    for (int k = 0; k < 100; ++k) sums[i] += a[k] + b[k];
  });
  EXPECT_EQ(sums, std::vector<int>(16, 300));
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 3));

}  // namespace
}  // namespace tutti
