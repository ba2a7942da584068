#include "runtime/data/split.h"

#include <string>

#include <gtest/gtest.h>

namespace tutti {
namespace {

std::int64_t heldout(double share, std::uint64_t seed) {
  std::int64_t count = 0;
  for (int i = 0; i < 20000; ++i) count += split_of("document " + std::to_string(i), share, seed);
  return count;
}

TEST(Split, HoldsOutTheShare) {
  EXPECT_EQ(heldout(0, 1), 0);
  EXPECT_EQ(heldout(1, 1), 20000);
  EXPECT_NEAR(double(heldout(0.05, 1)), 1000, 120);
}

TEST(Split, FollowsFromIdAndSeed) {
  int differing = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = std::to_string(i);
    EXPECT_EQ(split_of(id, 0.5, 1), split_of(id, 0.5, 1));
    EXPECT_LE(split_of(id, 0.2, 1), split_of(id, 0.5, 1))
        << "a larger share adds documents and takes none back";
    differing += split_of(id, 0.5, 1) != split_of(id, 0.5, 2);
  }
  EXPECT_NEAR(differing, 500, 80);
}

}  // namespace
}  // namespace tutti
