#include "runtime/io/user_cache.h"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

// Points the cache to a folder of the test's own.
class UserCache : public ::testing::Test {
 protected:
  UserCache() : scratch_("user_cache_test") { setenv("XDG_CACHE_HOME", folder().c_str(), 1); }
  ~UserCache() override { unsetenv("XDG_CACHE_HOME"); }
  const std::filesystem::path& folder() const { return scratch_.path(); }

  testing::ScratchFolder scratch_;
};

TEST_F(UserCache, KeepsWhatItIsGiven) {
  EXPECT_FALSE(read_user_cache("a key"));
  write_user_cache("a key", {{"rate", 1.5}});
  write_user_cache("another", {{"rate", 2}});
  ASSERT_TRUE(read_user_cache("a key"));
  EXPECT_EQ(read_user_cache("a key")->at("rate"), 1.5);
  write_user_cache("a key", {{"rate", 3}});
  EXPECT_EQ(read_user_cache("a key")->at("rate"), 3);
  EXPECT_TRUE(std::filesystem::exists(folder() / "tutti"));
}

TEST_F(UserCache, DamageIsNoError) {
  write_user_cache("a key", {{"rate", 1.5}});
  for (const auto& file : std::filesystem::directory_iterator(folder() / "tutti"))
    std::ofstream(file.path()) << "{\"key\": \"a key\", \"value\": {}}";
  EXPECT_FALSE(read_user_cache("a key"));
}

TEST_F(UserCache, AFolderThatCannotBeMadeIsNoError) {
  std::ofstream(folder() / "file") << "x";
  setenv("XDG_CACHE_HOME", (folder() / "file").c_str(), 1);
  write_user_cache("a key", {{"rate", 1.5}});
  EXPECT_FALSE(read_user_cache("a key"));
}

TEST_F(UserCache, WithoutAFolderNothingIsKept) {
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  setenv("XDG_CACHE_HOME", "relative", 1);
  setenv("HOME", folder().c_str(), 1);
  write_user_cache("a key", {{"rate", 1.5}});
  EXPECT_TRUE(std::filesystem::exists(folder() / ".cache" / "tutti"));
  unsetenv("HOME");
  EXPECT_FALSE(read_user_cache("a key"));
  write_user_cache("a key", {{"rate", 1.5}});
  setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace tutti
