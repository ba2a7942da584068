#include "runtime/checkpoint/checkpoint.h"

#include <numeric>

#include <gtest/gtest.h>

#include "tests/support/mpi_main.h"
#include "tests/support/shared_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;

constexpr std::int64_t kSize = 100003;
const nlohmann::json kIdentity = {{"seed", 7}, {"model", {{"width", 8}}}};

std::vector<float> values_at(std::int64_t step, Range range) {
  std::vector<float> values;
  for (std::int64_t i = range.begin; i < range.end; ++i)
    values.push_back(float(i) + 1000 * float(step));
  return values;
}

Range my_part() { return part_of(kSize, world().size(), world().rank()); }

void save(Checkpointer& checkpoints, std::int64_t step) {
  std::vector<float> mine = values_at(step, my_part());
  checkpoints.begin(
      {{slice_of("numbers", kSize, my_part(), std::span(mine))}, {{"step", step}}, kIdentity});
  std::fill(mine.begin(), mine.end(), -1.f);  // the snapshot has its own copy
  checkpoints.commit();
}

// Restores the whole array on every rank, and checks it against the step that the state names.
std::int64_t restored_step(Checkpointer& checkpoints) {
  std::vector<float> all(kSize, 0.f);
  const auto state = checkpoints.restore(
      kIdentity, std::vector{slice_of("numbers", kSize, {0, kSize}, std::span(all))});
  if (!state) return -1;
  EXPECT_EQ(all, values_at(state->at("step"), {0, kSize}));
  return state->at("step");
}

std::filesystem::path newest_file(const std::filesystem::path& folder, const std::string& name) {
  const CheckpointStore store(folder);
  return store.generation_folder(store.committed().front()) / name;
}

void flip_byte(const std::filesystem::path& file, std::int64_t at) {
  std::string bytes = testing::read_text(file);
  bytes[std::size_t(at < 0 ? std::int64_t(bytes.size()) + at : at)] ^= 1;
  testing::write_text(file, bytes);
}

TEST(Checkpoint, NothingIsRestoredFromNothing) {
  SharedFolder shared("nothing");
  Checkpointer checkpoints(world(), shared.path(), {});
  EXPECT_EQ(restored_step(checkpoints), -1);
}

TEST(Checkpoint, TheNewestComesBackAndTwoAreKept) {
  SharedFolder shared("newest");
  for (std::int64_t step : {1, 2, 3}) {
    Checkpointer checkpoints(world(), shared.path(), {});
    save(checkpoints, step);
  }
  Checkpointer checkpoints(world(), shared.path(), {});
  EXPECT_EQ(restored_step(checkpoints), 3);
  if (world().is_root()) {
    EXPECT_EQ(CheckpointStore(shared.path()).committed(), (std::vector<std::int64_t>{2, 1}));
  }
}

TEST(Checkpoint, AnotherNumberOfRanksReadsWhatThisOneWrote) {
  SharedFolder shared("elastic");
  Checkpointer checkpoints(world(), shared.path(), {});
  save(checkpoints, 5);
  // Slices as a world of seven would cut them.
  for (std::int64_t part = 0; part < 7; ++part) {
    const Range range = part_of(kSize, 7, part);
    std::vector<float> mine(std::size_t(range.size()));
    ASSERT_TRUE(checkpoints.restore(
        kIdentity, std::vector{slice_of("numbers", kSize, range, std::span(mine))}));
    EXPECT_EQ(mine, values_at(5, range));
  }
}

TEST(Checkpoint, WithoutACommitTheOneBeforeCounts) {
  SharedFolder shared("uncommitted");
  {
    Checkpointer checkpoints(world(), shared.path(), {});
    save(checkpoints, 1);
    std::vector<float> mine = values_at(2, my_part());
    checkpoints.begin(
        {{slice_of("numbers", kSize, my_part(), std::span(mine))}, {{"step", 2}}, kIdentity});
  }
  world().barrier();
  Checkpointer checkpoints(world(), shared.path(), {});
  EXPECT_EQ(restored_step(checkpoints), 1);
  save(checkpoints, 3);
  EXPECT_EQ(checkpoints.generation(), 2)
      << "the number of the unfinished generation is not used again";
}

TEST(Checkpoint, DamageIsFoundAndTheOneBeforeIsTaken) {
  const std::string last_part = CheckpointStore::part_name(world().size() - 1);
  const std::vector<std::pair<std::string, std::int64_t>> damages = {{last_part, -1},
                                                                     {last_part, -100},
                                                                     {"manifest.json", 5},
                                                                     {"manifest.json", -10},
                                                                     {"manifest.json", 100}};
  for (const auto& [file, place] : damages) {
    SharedFolder shared("damage");
    Checkpointer checkpoints(world(), shared.path(), {});
    save(checkpoints, 1);
    save(checkpoints, 2);
    if (world().is_root()) flip_byte(newest_file(shared.path(), file), place);
    world().barrier();
    EXPECT_EQ(restored_step(checkpoints), 1) << file << " at " << place;
    if (world().is_root()) {
      EXPECT_TRUE(std::filesystem::exists(shared.path() / "generation-00000001.damaged"));
    }
  }
}

TEST(Checkpoint, ATruncatedOrMissingPartIsFound) {
  for (const bool remove : {true, false}) {
    SharedFolder shared("truncated");
    Checkpointer checkpoints(world(), shared.path(), {});
    save(checkpoints, 1);
    save(checkpoints, 2);
    if (world().is_root()) {
      const auto file = newest_file(shared.path(), CheckpointStore::part_name(0));
      if (remove)
        std::filesystem::remove(file);
      else
        std::filesystem::resize_file(file, std::filesystem::file_size(file) - 4096);
    }
    world().barrier();
    EXPECT_EQ(restored_step(checkpoints), 1);
  }
}

TEST(Checkpoint, OtherArraysAreRefusedByAllRanks) {
  SharedFolder shared("others");
  Checkpointer checkpoints(world(), shared.path(), {});
  save(checkpoints, 1);
  std::vector<float> all(kSize + 1);
  try {
    checkpoints.restore(
        kIdentity, std::vector{slice_of("numbers", kSize + 1, {0, kSize + 1}, std::span(all))});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_TRUE(e.agreed());
  }
}

TEST(Checkpoint, AnotherIdentityIsRefusedByName) {
  SharedFolder shared("identity");
  Checkpointer checkpoints(world(), shared.path(), {});
  std::vector<float> all(kSize);
  const std::vector wanted{slice_of("numbers", kSize, {0, kSize}, std::span(all))};
  EXPECT_FALSE(checkpoints.restore(kIdentity, wanted));
  save(checkpoints, 1);
  EXPECT_TRUE(checkpoints.restore(kIdentity, wanted));
  nlohmann::json other = kIdentity;
  other["model"]["width"] = 9;
  try {
    checkpoints.restore(other, wanted);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    EXPECT_NE(std::string(e.what()).find("another model"), std::string::npos) << e.what();
  }
}

TEST(Checkpoint, ABoundaryTakesASnapshotThatIsDueAndOneBeforeAStop) {
  SharedFolder shared("boundary");
  Checkpointer checkpoints(world(), shared.path(), {.every_seconds = 0});
  std::vector<std::int64_t> committed;
  checkpoints.on_commit(
      [&](std::int64_t, const nlohmann::json& state) { committed.push_back(state.at("step")); });
  std::int64_t step = 0;
  std::vector<float> mine;
  const auto take = [&] {
    mine = values_at(step, my_part());
    return Snapshot{
        {slice_of("numbers", kSize, my_part(), std::span(mine))}, {{"step", step}}, kIdentity};
  };
  for (; step < 5; ++step) EXPECT_FALSE(checkpoints.boundary({}, take));
  EXPECT_TRUE(checkpoints.boundary({.stop = world().rank() == world().size() - 1},
                                   take));  // one rank was asked to stop
  EXPECT_FALSE(checkpoints.pending());
  ASSERT_FALSE(committed.empty());
  EXPECT_EQ(committed.back(), 5);
  EXPECT_EQ(restored_step(checkpoints), 5);
}

}  // namespace
}  // namespace tutti
