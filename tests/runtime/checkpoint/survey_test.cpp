// What is there of a run's checkpoints and what of it is damaged, on a machine that passes for
// several: run with TUTTI_TEST_RANKS_PER_NODE.
#include "runtime/checkpoint/survey.h"

#include <numeric>

#include <gtest/gtest.h>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/support/mpi_main.h"
#include "tests/support/shared_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;

constexpr std::int64_t kSize = 3000017;  // three blocks of checksums

class Survey : public ::testing::Test {
 protected:
  // Generations 0 and 1 at both levels, generation 2 on the nodes alone.
  Survey() {
    CheckpointOptions options;
    options.local = local();
    Checkpointer checkpoints(world(), run(), options);
    std::vector<float> values(std::size_t(mine().size()));
    std::iota(values.begin(), values.end(), float(mine().begin));
    for (const int step : {1, 2, 3}) {
      const Snapshot snapshot{
          {slice_of("numbers", kSize, mine(), std::span(values))}, {{"step", step}}, {{"seed", 7}}};
      if (step < 3) {
        checkpoints.save(snapshot);
      } else {
        checkpoints.begin(snapshot);
        checkpoints.commit();
      }
    }
  }
  static Range mine() { return part_of(kSize, world().size(), world().rank()); }
  std::string local() const { return (shared_.path() / "local-{host}").string(); }
  std::filesystem::path run() const { return shared_.path() / "checkpoints"; }
  std::filesystem::path local_folder(int node) const {
    const auto folder = shared_.path() / ("local-node" + std::to_string(node));
    return std::filesystem::directory_iterator(folder)->path();
  }
  CheckpointLevels look(const std::string& local = "") const {
    return CheckpointLevels(world(), CheckpointLevels::LookOnly{}, run(), local);
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

  SharedFolder shared_{"survey"};
};

std::vector<std::int64_t> numbers_of(const std::vector<GenerationSummary>& all) {
  std::vector<std::int64_t> numbers;
  for (const GenerationSummary& summary : all) numbers.push_back(summary.generation);
  return numbers;
}

TEST_F(Survey, NamesTheLevelsAndWhatStandsThere) {
  const auto both = survey_generations(world(), look(local()));
  // The nodes keep two.
  ASSERT_EQ(numbers_of(both), (std::vector<std::int64_t>{2, 1, 0}));
  EXPECT_FALSE(both[0].shared);
  EXPECT_EQ(both[0].nodes, world().node_count());
  EXPECT_TRUE(both[1].shared);
  EXPECT_EQ(both[1].nodes, world().node_count());
  EXPECT_EQ(both[2].nodes, 0);
  for (const GenerationSummary& summary : both) {
    EXPECT_EQ(summary.condition, GenerationCondition::complete) << summary.problem;
    EXPECT_EQ(summary.parts, world().size());
    EXPECT_GT(summary.bytes, 4 * kSize);
    EXPECT_GT(summary.written, 1.7e9);
    EXPECT_EQ(summary.state.at("step"), summary.generation + 1);
  }
  EXPECT_EQ(numbers_of(survey_generations(world(), look())), (std::vector<std::int64_t>{1, 0}))
      << "in the run's folder alone";
}

TEST_F(Survey, UnfinishedPinnedAndSetAsideOnesAreToldApart) {
  on_root([&] {
    const CheckpointStore store(run());
    store.pin(0);
    store.set_aside(1);
    std::filesystem::create_directories(store.generation_folder(7));
    testing::write_text(store.generation_folder(7) / "part-00000.h5", "begun");
  });
  const auto all = survey_generations(world(), look());
  ASSERT_EQ(numbers_of(all), (std::vector<std::int64_t>{7, 1, 0}));
  EXPECT_EQ(all[0].condition, GenerationCondition::unfinished);
  EXPECT_EQ(all[0].bytes, 5);
  EXPECT_EQ(all[1].condition, GenerationCondition::set_aside);
  EXPECT_EQ(all[1].parts, world().size());
  EXPECT_TRUE(all[2].pinned);
  world().barrier();
  EXPECT_TRUE(std::filesystem::exists(CheckpointStore(run()).generation_folder(7)))
      << "a look changes nothing";
}

TEST_F(Survey, DamageIsToldWithLevelPartDatasetAndBlock) {
  const CheckpointLevels levels = look(local());
  for (const std::int64_t generation : {0, 1, 2})
    EXPECT_TRUE(find_damage(world(), levels, generation).empty()) << generation;
  const std::string part = CheckpointStore::part_name(0);
  on_root([&] {
    flip_byte(CheckpointStore(run()).generation_folder(1) / part, 9000);
    flip_byte(local_folder(0) / "generation-00000002" / part, 9000);
    flip_byte(CheckpointStore(run()).manifest_of(0), 100);
  });
  const auto in_run = find_damage(world(), levels, 1);
  ASSERT_EQ(in_run.size(), 1u);
  EXPECT_EQ(in_run[0].level, "run");
  EXPECT_NE(in_run[0].place.find(part), std::string::npos) << in_run[0].place;
  EXPECT_NE(in_run[0].problem.find("dataset /numbers, block 0"), std::string::npos)
      << in_run[0].problem;
  EXPECT_FALSE(verifies_in_run_folder(world(), levels, 1));

  const auto on_node = find_damage(world(), levels, 2);
  ASSERT_EQ(on_node.size(), 1u);
  EXPECT_EQ(on_node[0].level, "node node0");
  EXPECT_NE(on_node[0].problem.find("block 0"), std::string::npos) << on_node[0].problem;
  EXPECT_FALSE(verifies_in_run_folder(world(), levels, 2)) << "it is not there";

  const auto manifest = find_damage(world(), levels, 0);
  ASSERT_EQ(manifest.size(), 1u);
  EXPECT_NE(manifest[0].place.find("manifest.json"), std::string::npos) << manifest[0].place;
  EXPECT_EQ(survey_generations(world(), levels)[2].condition, GenerationCondition::damaged);
}

TEST_F(Survey, APartThatNoNodeHasIsDamage) {
  on_root([&] {
    for (int node = 0; node < world().node_count(); ++node)
      std::filesystem::remove(local_folder(node) / "generation-00000002" /
                              CheckpointStore::part_name(0));
  });
  const auto damage = find_damage(world(), look(local()), 2);
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].place, CheckpointStore::part_name(0));
}

TEST_F(Survey, WithoutNodeLocalFoldersTheyAreRefused) {
  on_root([&] { std::filesystem::remove(run() / "run.id"); });
  EXPECT_THROW(look(local()), Error);
}

}  // namespace
}  // namespace tutti
