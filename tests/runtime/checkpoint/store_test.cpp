#include "runtime/checkpoint/store.h"

#include <chrono>

#include <gtest/gtest.h>

#include "runtime/checkpoint/manifest.h"
#include "runtime/io/sealed_json.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using Generations = std::vector<std::int64_t>;

// A committed generation of no arrays, whose one part is a file of `bytes` bytes.
void commit(const CheckpointStore& store, std::int64_t generation, std::int64_t bytes = 3) {
  std::filesystem::create_directories(store.generation_folder(generation));
  testing::write_text(store.generation_folder(generation) / "part-00000.h5",
                      std::string(std::size_t(bytes), 'x'));
  const FileRecord file{"part-00000.h5", 3, 7, {}};
  write_sealed_json(store.manifest_of(generation), {{"kind", kCheckpointKind},
                                                    {"format_version", kCheckpointVersion},
                                                    {"generation", generation},
                                                    {"arrays", nlohmann::json::array()},
                                                    {"parts", {to_json(CheckpointPart{file, {}})}},
                                                    {"state", nlohmann::json::object()}});
}

TEST(CheckpointStore, OnlyGenerationsWithAManifestCount) {
  testing::ScratchFolder scratch("store");
  const CheckpointStore store(scratch.path());
  EXPECT_TRUE(store.committed().empty());
  EXPECT_EQ(store.next_generation(), 0);
  for (std::int64_t g : {0, 1, 2}) commit(store, g);
  std::filesystem::create_directories(store.generation_folder(7));
  std::filesystem::create_directories(scratch.path() / "generation-x");
  testing::write_text(scratch.path() / "a stray file", "");
  EXPECT_EQ(store.committed(), (Generations{2, 1, 0}));
  EXPECT_EQ(store.next_generation(), 8);

  EXPECT_EQ(store.unfinished(), Generations{7});
  store.remove_unfinished();
  EXPECT_FALSE(std::filesystem::exists(store.generation_folder(7)));
  store.set_aside(2);
  EXPECT_EQ(store.damaged(), Generations{2});
  EXPECT_EQ(store.committed(), (Generations{1, 0}));
  EXPECT_EQ(store.next_generation(), 3) << "the number of a damaged generation is used up";
  store.retain({.keep = 1});
  EXPECT_EQ(store.committed(), Generations{1});
  std::filesystem::create_directories(scratch.path() / "generation-00000003.damaged.old");
  store.remove_damaged(2);
  EXPECT_TRUE(store.damaged().empty());
}

TEST(CheckpointStore, AManifestOfAnotherGenerationIsNotBelieved) {
  testing::ScratchFolder scratch("renamed");
  const CheckpointStore store(scratch.path());
  commit(store, 3);
  EXPECT_TRUE(store.looks_whole(3));
  EXPECT_EQ(store.read_complete(3).parts.size(), 1u);
  std::filesystem::rename(store.generation_folder(3), store.generation_folder(4));
  EXPECT_FALSE(store.looks_whole(4));
  EXPECT_THROW(store.read_manifest(4), Error);
  commit(store, 5, 2);
  EXPECT_NO_THROW(store.read_manifest(5));
  EXPECT_THROW(store.read_complete(5), Error) << "its part is shorter than the manifest says";
}

TEST(CheckpointStore, TheNewestStayAndEveryNthAndThePinnedOnes) {
  testing::ScratchFolder scratch("retention");
  const CheckpointStore store(scratch.path());
  for (std::int64_t g = 0; g < 10; ++g) commit(store, g);
  store.pin(5);
  EXPECT_TRUE(store.is_pinned(5));
  store.retain({.keep = 2, .keep_every = 4});
  EXPECT_EQ(store.committed(), (Generations{9, 8, 5, 4, 0}));
  store.unpin(5);
  store.unpin(4);  // was none
  store.retain({.keep = 1, .keep_every = 0});
  EXPECT_EQ(store.committed(), Generations{9});
}

TEST(CheckpointStore, TheYoungStay) {
  testing::ScratchFolder scratch("young");
  const CheckpointStore store(scratch.path());
  for (std::int64_t g = 0; g < 4; ++g) {
    commit(store, g);
    std::filesystem::last_write_time(
        store.manifest_of(g),
        std::filesystem::file_time_type::clock::now() - std::chrono::hours(4 - g));
  }
  store.retain({.keep = 1, .keep_seconds = 2.5 * 3600});
  EXPECT_EQ(store.committed(), (Generations{3, 2}));
}

// Deleting what is older would leave nothing to go back to.
TEST(CheckpointStore, DamagedOnesDoNotCountAmongTheNewest) {
  testing::ScratchFolder scratch("damaged");
  const CheckpointStore store(scratch.path());
  for (std::int64_t g = 0; g < 3; ++g) commit(store, g);
  commit(store, 3, 2);                              // its part is cut short
  testing::write_text(store.manifest_of(2), "{}");  // is not sealed
  store.retain({.keep = 1});
  EXPECT_EQ(store.committed(), (Generations{3, 2, 1}));
}

}  // namespace
}  // namespace tutti
