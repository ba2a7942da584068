#include "runtime/data/sampler.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

std::vector<std::int64_t> epoch_of(const Sampler& sampler, std::int64_t epoch) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < sampler.count(); ++i) order.push_back(sampler.at(epoch, i));
  return order;
}

TEST(Sampler, EveryEpochIsAPermutation) {
  for (std::int64_t count : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    const Sampler sampler(count, 3);
    for (std::int64_t epoch : {0, 1, 2}) {
      std::vector<std::int64_t> order = epoch_of(sampler, epoch);
      std::sort(order.begin(), order.end());
      for (std::int64_t i = 0; i < count; ++i)
        ASSERT_EQ(order[std::size_t(i)], i) << count << ", epoch " << epoch;
    }
  }
}

TEST(Sampler, EpochsAndSeedsDiffer) {
  const Sampler sampler(1000, 3);
  EXPECT_NE(epoch_of(sampler, 0), epoch_of(sampler, 1));
  EXPECT_NE(epoch_of(sampler, 0), epoch_of(Sampler(1000, 4), 0));
  EXPECT_EQ(epoch_of(sampler, 5), epoch_of(Sampler(1000, 3), 5));
}

TEST(Sampler, ShortCyclesAreRare) {
  // A fixed point is as likely as in a random permutation: one an epoch, on average.
  const Sampler sampler(512, 1);
  int fixed = 0;
  for (std::int64_t epoch = 0; epoch < 100; ++epoch)
    for (std::int64_t i = 0; i < sampler.count(); ++i) fixed += sampler.at(epoch, i) == i;
  EXPECT_GT(fixed, 60);
  EXPECT_LT(fixed, 150);
}

TEST(BatchPlace, WholeBatchesOfEachEpoch) {
  EXPECT_EQ(batch_place(0, 4, 10).first_position, 0);
  EXPECT_EQ(batch_place(1, 4, 10).first_position, 4);
  EXPECT_EQ(batch_place(2, 4, 10).epoch, 1) << "the two samples left over are dropped";
  EXPECT_EQ(batch_place(2, 4, 10).first_position, 0);
}

}  // namespace
}  // namespace tutti
