#include "runtime/checkpoint/store.h"

#include <gtest/gtest.h>

#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

TEST(CheckpointStore, OnlyGenerationsWithAManifestCount) {
  testing::ScratchFolder scratch("store");
  const CheckpointStore store(scratch.path());
  EXPECT_TRUE(store.committed().empty());
  EXPECT_EQ(store.next_generation(), 0);
  for (std::int64_t g : {0, 1, 2, 7}) {
    std::filesystem::create_directories(store.generation_folder(g));
    if (g != 7) testing::write_text(store.manifest_of(g), "{}");
  }
  std::filesystem::create_directories(scratch.path() / "generation-x");
  testing::write_text(scratch.path() / "a stray file", "");
  EXPECT_EQ(store.committed(), (std::vector<std::int64_t>{2, 1, 0}));
  EXPECT_EQ(store.next_generation(), 8);

  store.remove_unfinished();
  EXPECT_FALSE(std::filesystem::exists(store.generation_folder(7)));
  store.set_aside(2);
  EXPECT_EQ(store.committed(), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(store.next_generation(), 3) << "the number of a damaged generation is used up";
  store.retain(1);
  EXPECT_EQ(store.committed(), std::vector<std::int64_t>{1});
}

}  // namespace
}  // namespace tutti
