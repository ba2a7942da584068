// k-means of two levels, and an index of such lists.
#include <algorithm>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "jobs/share_lists.h"
#include "runtime/data/paths.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;

TEST(ShareLists, GoesBySizeAndGivesNoneMoreThanItsVectors) {
  using Numbers = std::vector<std::int64_t>;
  EXPECT_EQ(share_lists(Numbers{10, 20, 30}, 6), (Numbers{1, 2, 3}));
  EXPECT_EQ(share_lists(Numbers{1, 0, 100}, 10), (Numbers{1, 0, 9}));
  EXPECT_EQ(share_lists(Numbers{1, 2, 3}, 6), (Numbers{1, 2, 3}));
  EXPECT_EQ(share_lists(Numbers{5, 5, 5}, 4), (Numbers{2, 1, 1}));
  EXPECT_EQ(share_lists(Numbers{0}, 0), (Numbers{0}));
  const Numbers sizes{900, 17, 0, 350, 41, 41, 3000, 2};
  const Numbers shares = share_lists(sizes, 1000);
  EXPECT_EQ(std::reduce(shares.begin(), shares.end()), 1000);
  for (std::size_t g = 0; g < sizes.size(); ++g)
    EXPECT_NEAR(double(shares[g]), 1000.0 * double(sizes[g]) / 4351, 3) << g;
}

class TwoLevels : public ::testing::Test {
 protected:
  static constexpr std::int64_t kCount = 12000, kDim = 16;

  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("two_level_test");
    testing::write_vectors<float>(folder() / "vectors", testing::clustered_vectors(kCount, kDim, 1),
                                  kDim);
    undisturbed_ = built(1, "undisturbed");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "index --run " + (folder() / run).string() +
           " --set vectors=" + (folder() / "vectors").string() +
           " --set threads=1 --set index.nlist=300 --set kmeans.levels=2 --set "
           "kmeans.iterations=6 " +
           more;
  }
  static nlohmann::json built(int ranks, const std::string& run, const std::string& more = "") {
    const auto done = run_tutti(ranks, arguments(run, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  // As the log's last line about it has it.
  static double mean_distance(const std::string& run) {
    const std::string log = read_text(folder() / run / "log.txt"), before = "mean distance ";
    return std::stod(log.substr(log.rfind(before) + before.size()));
  }

  static testing::ScratchFolder* scratch_;
  static nlohmann::json undisturbed_;
};
testing::ScratchFolder* TwoLevels::scratch_ = nullptr;
nlohmann::json TwoLevels::undisturbed_;

TEST_F(TwoLevels, TheSameBytesOnAnyNumberOfRanksAndInLittleMemory) {
  EXPECT_EQ(undisturbed_["nlist"], 300);
  EXPECT_EQ(undisturbed_["vectors"], kCount);
  for (int ranks : {2, 4})
    EXPECT_EQ(built(ranks, "ranks" + std::to_string(ranks))["index_digest"],
              undisturbed_["index_digest"])
        << ranks;
  EXPECT_EQ(built(3, "tight", "--set memory_limit=1MiB")["index_digest"],
            undisturbed_["index_digest"]);
  EXPECT_EQ(built(7, "many", "--set index.nlist=9")["index_digest"],
            built(1, "few", "--set index.nlist=9")["index_digest"]);
}

TEST_F(TwoLevels, AreNearlyAsGoodAsOne) {
  built(2, "one", "--set kmeans.levels=1");
  EXPECT_LT(mean_distance("undisturbed"), 1.03 * mean_distance("one"));
  EXPECT_GT(mean_distance("undisturbed"), 0.97 * mean_distance("one"));
}

TEST_F(TwoLevels, OtherMetricsSamplesAndBadVectors) {
  std::vector<float> values = testing::clustered_vectors(3000, 8, 4);
  values[150 * 8 + 3] = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(values.begin() + 7 * 8, 8, 0.0f);
  testing::write_vectors<float>(folder() / "bad", values, 8);
  const std::string bad = "--set on_bad_record=skip --set vectors=" + (folder() / "bad").string();
  int number = 0;
  for (const std::string more :
       {"--set index.metric=cosine", "--set index.metric=inner_product --set kmeans.sample=700",
        "--set kmeans.iterations=0", "--set kmeans.iterations=1 --set index.nlist=0"}) {
    const std::string name = "other" + std::to_string(++number);
    const auto one = built(1, name + "_1", bad + " " + more);
    EXPECT_EQ(built(3, name + "_3", bad + " " + more)["index_digest"], one["index_digest"]) << more;
    EXPECT_GE(one["vectors_skipped"], 1);
  }
  for (const char* wrong : {"--set kmeans.levels=3", "--set kmeans.sample=299"})
    EXPECT_EQ(run_tutti(2, arguments("wrong", wrong)).exit_code, 64) << wrong;
}

TEST_F(TwoLevels, KilledInAnyStageOnChangingRanks) {
  for (int stage = 0; stage <= 2; ++stage) {
    const std::string name = "killed" + std::to_string(stage);
    for (const int ranks : {2, 1}) {
      testing::Process job(testing::tutti_command(ranks, arguments(name)),
                           (folder() / "log").string());
      const auto kept = folder() / name / kBuildingFolder / ("stage-" + std::to_string(stage));
      while (!job.ended() && !std::filesystem::exists(kept)) usleep(500);
      job.kill_all();
    }
    ASSERT_FALSE(std::filesystem::exists(folder() / name / "manifest.json"));
    EXPECT_EQ(built(stage + 1, name)["index_digest"], undisturbed_["index_digest"]) << stage;
    EXPECT_FALSE(std::filesystem::exists(folder() / name / kBuildingFolder));
    const std::string log = read_text(folder() / name / "log.txt");
    EXPECT_TRUE(stage == 0 || log.find("of k-means is done already") != std::string::npos) << log;
  }
}

}  // namespace
}  // namespace tutti
