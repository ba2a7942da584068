#include "runtime/comm/partition.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(Partition, PartsAreContiguousEvenAndCoverEverything) {
  for (std::int64_t count : {0, 1, 2, 7, 16, 1000})
    for (std::int64_t parts : {1, 2, 3, 5, 16, 33}) {
      std::int64_t at = 0;
      for (std::int64_t p = 0; p < parts; ++p) {
        const Range r = part_of(count, parts, p);
        EXPECT_EQ(r.begin, at);
        EXPECT_LE(r.size(), count / parts + 1);
        for (std::int64_t i = r.begin; i < r.end; ++i) EXPECT_EQ(owner_of(count, parts, i), p);
        at = r.end;
      }
      EXPECT_EQ(at, count);
    }
}

}  // namespace
}  // namespace tutti
