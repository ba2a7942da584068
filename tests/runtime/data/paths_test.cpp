#include "runtime/data/paths.h"

#include <gtest/gtest.h>

#include "runtime/base/check.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

TEST(Paths, shards_have_five_digits) {
  EXPECT_EQ(shard_file(0), "shard-00000.h5");
  EXPECT_EQ(shard_file(99999), "shard-99999.h5");
  EXPECT_THROW(shard_file(kMaxShards), Bug);
  EXPECT_THROW(shard_file(-1), Bug);
}

TEST(Paths, names_are_told_apart) {
  EXPECT_TRUE(is_shard_file(shard_file(12)));
  for (const char* name :
       {"shard-0001.h5", "shard-000012.h5", "shard-0x012.h5", "shard-00012.h5x", "dataset.h5", ""})
    EXPECT_FALSE(is_shard_file(name)) << name;
  EXPECT_TRUE(is_leftover_file(spool_file(12, 3)));
  EXPECT_TRUE(is_leftover_file(temporary_of(kManifestFile).string()));
  for (const char* name : {kManifestFile, kWholeFile, kModelFile, "my.spool"})
    EXPECT_FALSE(is_leftover_file(name)) << name;
  EXPECT_FALSE(is_leftover_file(shard_file(1)));
  EXPECT_FALSE(is_shard_file(spool_file(12, 3)));
  for (const std::string& name :
       {deleted_file(3), changed_columns_file(3), changed_whole_file(3)}) {
    EXPECT_TRUE(is_change_file(name)) << name;
    EXPECT_FALSE(is_shard_file(name) || is_leftover_file(name)) << name;
  }
  EXPECT_TRUE(is_deleted_file("deleted-00003.h5"));
  EXPECT_TRUE(is_whole_file("dataset-00003.h5") && is_whole_file(kWholeFile));
  for (const char* name :
       {kWholeFile, kColumnsFile, kManifestFile, "deleted-3.h5", "columns-.json"})
    EXPECT_FALSE(is_change_file(name)) << name;
}

TEST(Paths, pieces_are_in_the_name) {
  const Range rows{4096, 3000000000000};
  EXPECT_EQ(range_file(kAssignedFiles, rows), "assigned-000000004096-3000000000000");
  EXPECT_EQ(range_of_file(kAssignedFiles, range_file(kAssignedFiles, rows)), rows);
  EXPECT_EQ(range_of_file(kAssignedFiles, range_file(kAssignedFiles, {0, 0})), (Range{0, 0}));
  for (const char* name : {"assigned-", "assigned-1", "assigned-1-", "assigned-1-2.tmp",
                           "assigned-2-1", "assigned--1-2", "groups-1-2", "assigned", "assigned1-2",
                           "assigned-x-2", "assigned-1-2x", ""})
    EXPECT_EQ(range_of_file(kAssignedFiles, name), std::nullopt) << name;
}

}  // namespace
}  // namespace tutti
