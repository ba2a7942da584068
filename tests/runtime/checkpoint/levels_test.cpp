// Node-local checkpoints and copies on the next node, on a machine that passes for several: run
// with TUTTI_TEST_RANKS_PER_NODE.
#include "runtime/checkpoint/levels.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include <gtest/gtest.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/partner_copies.h"
#include "tests/support/mpi_main.h"
#include "tests/support/shared_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;

constexpr std::int64_t kSize = 3000017;  // three blocks of checksums
const nlohmann::json kIdentity = {{"seed", 7}};

float value_at(std::int64_t step, std::int64_t i) { return float(i % 1000) + 1000 * float(step); }

std::vector<float> values_at(std::int64_t step, Range range) {
  std::vector<float> values;
  for (std::int64_t i = range.begin; i < range.end; ++i) values.push_back(value_at(step, i));
  return values;
}

class Levels : public ::testing::Test {
 protected:
  CheckpointOptions options() const {
    CheckpointOptions options;
    options.local = (shared_.path() / "local-{host}").string();
    return options;
  }
  std::filesystem::path checkpoints() const { return shared_.path() / "checkpoints"; }
  // What a node has of the run.
  std::filesystem::path local_folder(const std::string& host) const {
    const auto folder = shared_.path() / ("local-" + host);
    return std::filesystem::directory_iterator(folder)->path();
  }
  std::string host(int node) const { return "node" + std::to_string(node); }

  void save(Checkpointer& checkpoints, std::int64_t step) {
    const Range mine = part_of(kSize, world().size(), world().rank());
    std::vector<float> values = values_at(step, mine);
    checkpoints.begin(
        {{slice_of("numbers", kSize, mine, std::span(values))}, {{"step", step}}, kIdentity});
    std::ranges::fill(values, -1.f);
    checkpoints.commit();
  }
  // Generation 0 at both levels, generation 1 on the nodes alone.
  void save_two() {
    Checkpointer checkpoints(world(), this->checkpoints(), options());
    save(checkpoints, 1);
    save(checkpoints, 2);
  }
  // The step that a new start finds, all values checked; -1 where there is none.
  std::int64_t restored_step() {
    Checkpointer checkpoints(world(), this->checkpoints(), options());
    std::vector<float> all(kSize, 0.f);
    const auto state = checkpoints.restore(
        kIdentity, std::vector{slice_of("numbers", kSize, {0, kSize}, std::span(all))});
    if (!state) return -1;
    EXPECT_TRUE(all == values_at(state->at("step"), {0, kSize}));
    return state->at("step");
  }
  template <class Work>
  void on_root(Work&& work) {
    if (world().is_root()) work();
    world().barrier();
  }
  static void flip_byte(const std::filesystem::path& file, std::int64_t at) {
    std::string bytes = testing::read_text(file);
    bytes.at(std::size_t(at)) ^= 1;
    testing::write_text(file, bytes);
  }

  SharedFolder shared_{"levels"};
};

TEST(Partners, AreOnTheNextNode) {
  EXPECT_EQ(partners_of(std::vector{0, 0, 0}), (std::vector{-1, -1, -1}));
  EXPECT_EQ(partners_of(std::vector{0, 0, 1, 1}), (std::vector{2, 3, 0, 1}));
  EXPECT_EQ(partners_of(std::vector{0, 1, 0, 2, 2}), (std::vector{1, 3, 1, 0, 2}));
}

TEST_F(Levels, ANodeKeepsItsOwnPartsAndTheNodeBeforeIts) {
  save_two();
  on_root([&] {
    EXPECT_EQ(CheckpointStore(checkpoints()).committed(), std::vector<std::int64_t>{0});
    const auto nodes = world().nodes_of_ranks();
    const std::vector<int> partners = partners_of(nodes);
    for (int r = 0; r < world().size(); ++r)
      for (int node = 0; node < world().node_count(); ++node) {
        const bool partner =
            partners[std::size_t(r)] >= 0 && nodes[std::size_t(partners[std::size_t(r)])] == node;
        EXPECT_EQ(std::filesystem::exists(local_folder(host(node)) / "generation-00000001" /
                                          CheckpointStore::part_name(r)),
                  nodes[std::size_t(r)] == node || partner)
            << "rank " << r << " on node " << node;
      }
  });
  EXPECT_EQ(restored_step(), 2);
}

TEST_F(Levels, LosingAnyOneNodesFolderLosesNothing) {
  if (world().node_count() < 2) GTEST_SKIP() << "needs two nodes";
  for (int node = 0; node < world().node_count(); ++node) {
    on_root([&] { std::filesystem::remove_all(checkpoints()); });
    save_two();
    on_root([&] { std::filesystem::remove_all(local_folder(host(node))); });
    EXPECT_EQ(restored_step(), 2) << "without node " << node;
  }
}

TEST_F(Levels, WithoutCopiesALostFolderCostsWhatCameAfterTheSharedOne) {
  if (world().node_count() < 2) GTEST_SKIP() << "needs two nodes";
  CheckpointOptions alone = options();
  alone.partner = false;
  {
    Checkpointer checkpoints(world(), this->checkpoints(), alone);
    save(checkpoints, 1);
    save(checkpoints, 2);
  }
  on_root([&] { std::filesystem::remove_all(local_folder(host(1))); });
  EXPECT_EQ(restored_step(), 1);
}

TEST_F(Levels, ADamagedBlockIsTakenFromWhereItIsWhole) {
  save_two();
  const std::string part = CheckpointStore::part_name(0);
  on_root([&] { flip_byte(local_folder(host(0)) / "generation-00000001" / part, 9000); });
  const bool copied = world().node_count() > 1;
  EXPECT_EQ(restored_step(), copied ? 2 : 1);

  // The same block in the copy: nowhere whole.
  if (!copied) return;
  on_root([&] { flip_byte(local_folder(host(1)) / "generation-00000001" / part, 9001); });
  EXPECT_EQ(restored_step(), 1);
}

TEST_F(Levels, ADamagedSharedPartIsTakenFromTheNodes) {
  {
    Checkpointer checkpoints(world(), this->checkpoints(), options());
    save(checkpoints, 1);
  }
  on_root([&] {
    flip_byte(checkpoints() / "generation-00000000" / CheckpointStore::part_name(0), 9000);
    flip_byte(checkpoints() / "generation-00000000" / "manifest.json", 50);
  });
  EXPECT_EQ(restored_step(), 1);
}

TEST_F(Levels, AllNodesLostTheSharedOneIsTakenAndNumbersGoOn) {
  save_two();
  on_root([&] {
    for (int node = 0; node < world().node_count(); ++node)
      std::filesystem::remove_all(shared_.path() / ("local-" + host(node)));
  });
  EXPECT_EQ(restored_step(), 1);
}

TEST_F(Levels, ACopyOfTheRunHasNodeFoldersOfItsOwn) {
  save_two();
  on_root([&] {
    std::filesystem::rename(checkpoints(), shared_.path() / "moved");
    std::filesystem::copy(shared_.path() / "moved", checkpoints(),
                          std::filesystem::copy_options::recursive);
  });
  EXPECT_EQ(restored_step(), 2) << "the same place and identity: its own";
  on_root([&] { std::filesystem::remove(checkpoints() / "run.id"); });
  EXPECT_EQ(restored_step(), 1) << "a run without an identity is another one";
}

TEST_F(Levels, TheNodesKeepTwoGenerations) {
  {
    Checkpointer checkpoints(world(), this->checkpoints(), options());
    for (std::int64_t step = 1; step < 6; ++step) save(checkpoints, step);
  }
  world().barrier();
  on_root([&] {
    for (int node = 0; node < world().node_count(); ++node)
      EXPECT_EQ(CheckpointStore(local_folder(host(node)), false).committed(),
                (std::vector<std::int64_t>{4, 3}));
  });
}

// The copies travel while the job communicates otherwise.
TEST_F(Levels, StepsGoOnWhileCopiesTravel) {
  CheckpointOptions often = options();
  often.every_seconds = 0;
  auto checkpoints = std::make_unique<Checkpointer>(world(), this->checkpoints(), often);
  const Range mine = part_of(kSize, world().size(), world().rank());
  std::int64_t step = 1, commits = 0, committed = 0;
  checkpoints->on_commit([&](std::int64_t, const nlohmann::json& state) {
    ++commits;
    committed = state.at("step").get<std::int64_t>();
  });
  std::vector<float> values;
  for (; commits < 3; ++step) {
    checkpoints->boundary({}, [&] {
      values = values_at(step, mine);
      return Snapshot{
          {slice_of("numbers", kSize, mine, std::span(values))}, {{"step", step}}, kIdentity};
    });
    std::ranges::fill(values, -1.f);
    world().all_reduce_sum(step);
  }
  if (checkpoints->pending()) checkpoints->commit();
  checkpoints.reset();
  world().barrier();
  EXPECT_EQ(restored_step(), committed);
}

}  // namespace
}  // namespace tutti
