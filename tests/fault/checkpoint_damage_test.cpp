// Every way in which a committed generation may be damaged: it is never believed, and the one
// before it is taken.
#include <gtest/gtest.h>

#include "tests/fault/checkpoint_case.h"

namespace tutti {
namespace {

using testing::CheckpointCase;
using testing::world;

// The newest generation's file of this name.
std::filesystem::path newest(const std::filesystem::path& folder, const std::string& name) {
  return folder / "generation-00000001" / name;
}

// What is restored from a copy of the case in which `damage(file)` was done to one file.
template <class Damage>
std::int64_t restored_after(const CheckpointCase& saved, const std::string& file, Damage damage) {
  saved.copy_folder(saved.other_folder());
  if (world().is_root()) damage(newest(saved.other_folder(), file));
  world().barrier();
  return saved.restored_step(saved.other_folder());
}

void flip(const std::filesystem::path& file, std::int64_t at, int bit) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  char byte = 0;
  stream.seekg(at);
  stream.get(byte);
  stream.seekp(at);
  stream.put(char(byte ^ (1 << bit)));
}

std::int64_t size_of_file(const std::filesystem::path& file) {
  return std::int64_t(std::filesystem::file_size(file));
}

TEST(CheckpointDamage, EveryByteOfTheManifest) {
  const CheckpointCase saved(50);
  saved.save_two();
  const std::int64_t size = size_of_file(newest(saved.folder(), "manifest.json"));
  for (std::int64_t at = 0; at < size; ++at)
    ASSERT_EQ(restored_after(saved, "manifest.json",
                             [&](const auto& file) { flip(file, at, int(at % 8)); }),
              1)
        << "byte " << at;
}

TEST(CheckpointDamage, EveryLengthOfTheManifest) {
  const CheckpointCase saved(50);
  saved.save_two();
  const std::int64_t size = size_of_file(newest(saved.folder(), "manifest.json"));
  for (std::int64_t length = 0; length < size; length += 7)
    ASSERT_EQ(restored_after(saved, "manifest.json",
                             [&](const auto& f) { std::filesystem::resize_file(f, length); }),
              1)
        << length << " bytes";
  EXPECT_EQ(
      restored_after(saved, "manifest.json", [](const auto& f) { std::filesystem::remove(f); }), 1);
}

TEST(CheckpointDamage, EveryBlockOfEveryPart) {
  constexpr std::int64_t kElements = std::int64_t(5) << 20;  // 20 MiB: blocks of 4 MiB
  const CheckpointCase saved(kElements);
  saved.save_two();
  for (int rank = 0; rank < world().size(); ++rank) {
    const std::string part = CheckpointStore::part_name(rank);
    const std::int64_t size = size_of_file(newest(saved.folder(), part));
    for (std::int64_t at = 5000; at < size; at += kBlockBytes)
      ASSERT_EQ(restored_after(saved, part, [&](const auto& f) { flip(f, at, 3); }), 1)
          << part << " at " << at;
    ASSERT_EQ(restored_after(saved, part, [&](const auto& f) { flip(f, size - 1, 7); }), 1);
  }
}

// HDF5's own bytes lie outside all extents; restoring does not read them, `inspect` does.
TEST(CheckpointDamage, TheHeaderDoesNoHarm) {
  const CheckpointCase saved(5000);
  saved.save_two();
  EXPECT_EQ(restored_after(saved, "part-00000.h5", [&](const auto& f) { flip(f, 100, 1); }), 2);
}

TEST(CheckpointDamage, EveryLengthOfAPart) {
  const CheckpointCase saved(200000);
  saved.save_two();
  const std::string part = CheckpointStore::part_name(world().size() - 1);
  const std::int64_t size = size_of_file(newest(saved.folder(), part));
  for (std::int64_t length = 0; length < size; length += 4096)
    ASSERT_EQ(restored_after(saved, part,
                             [&](const auto& f) { std::filesystem::resize_file(f, length); }),
              1)
        << length << " bytes";
  for (const std::int64_t length : {size - 1, size + 1, size + 4096})
    EXPECT_EQ(restored_after(saved, part,
                             [&](const auto& f) { std::filesystem::resize_file(f, length); }),
              1);
  EXPECT_EQ(restored_after(saved, part, [](const auto& f) { std::filesystem::remove(f); }), 1);
}

TEST(CheckpointDamage, PartsOfAnotherGenerationAreNotBelieved) {
  const CheckpointCase saved(5000);
  saved.save_two();
  EXPECT_EQ(restored_after(saved, "part-00000.h5",
                           [&](const auto& f) {
                             std::filesystem::copy_file(
                                 saved.folder() / "generation-00000000" / "part-00000.h5", f,
                                 std::filesystem::copy_options::overwrite_existing);
                           }),
            1);
  EXPECT_EQ(restored_after(saved, "manifest.json",
                           [&](const auto& f) {
                             std::filesystem::copy_file(
                                 saved.folder() / "generation-00000000" / "manifest.json", f,
                                 std::filesystem::copy_options::overwrite_existing);
                           }),
            1);
}

TEST(CheckpointDamage, AllGenerationsDamagedIsAFreshStart) {
  const CheckpointCase saved(5000);
  saved.save_two();
  EXPECT_EQ(restored_after(saved, "part-00000.h5",
                           [&](const auto& f) {
                             flip(f, 9000, 1);
                             flip(saved.other_folder() / "generation-00000000" / "part-00000.h5",
                                  9000, 1);
                           }),
            0);
}

TEST(CheckpointDamage, AMovedFolderAndStrayFilesDoNoHarm) {
  const CheckpointCase saved(5000);
  saved.save_two();
  saved.copy_folder(saved.other_folder());
  if (world().is_root()) {
    testing::write_text(saved.other_folder() / "notes.txt", "mine");
    testing::write_text(newest(saved.other_folder(), "part-00099.h5"), "stray");
    testing::write_text(newest(saved.other_folder(), "manifest.json.tmp"), "half");
    std::filesystem::create_directories(saved.other_folder() / "generation-new");
  }
  world().barrier();
  EXPECT_EQ(saved.restored_step(saved.other_folder()), 2);
}

}  // namespace
}  // namespace tutti
