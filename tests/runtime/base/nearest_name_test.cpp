#include "runtime/base/nearest_name.h"

#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(NearestName, FewestChangesAndTheFirstOfEquals) {
  const std::vector<std::string> known = {"year", "lang", "long", "tags"};
  EXPECT_EQ(nearest_name("lng", known), "lang");
  EXPECT_EQ(nearest_name("yaer", known), "year");
  EXPECT_EQ(nearest_name("tag", known), "tags");
  EXPECT_EQ(nearest_name("", known), "year");
  EXPECT_EQ(nearest_name("lang", {}), "");
}

}  // namespace
}  // namespace tutti
