// index.target_recall: what is measured is what searches find, and they find their nprobe by it.
#include "jobs/recall_target.h"

#include <gtest/gtest.h>

#include "jobs/row_sample.h"
#include "runtime/data/manifest.h"
#include "tests/jobs/found_neighbors.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;

TEST(RecallTarget, TheCurveHasPowersOfTwoAndWhatReachesTheLevels) {
  using Curve = std::vector<RecallAtProbes>;
  const std::vector<double> levels{0.5, 0.75};
  EXPECT_EQ(recall_curve_of({7, 1, 3, 1}, levels),
            (Curve{{1, 0.5}, {2, 0.5}, {3, 0.75}, {4, 0.75}, {7, 1}}));
  EXPECT_EQ(recall_curve_of({1, 1}, levels), (Curve{{1, 1}}));
  EXPECT_EQ(recall_curve_of({}, levels), (Curve{{1, 1}}));
  EXPECT_EQ(recall_curve_of({5}, std::vector<double>{0, 1}),
            (Curve{{1, 0}, {2, 0}, {4, 0}, {5, 1}}));
}

constexpr std::int64_t kCount = 4000, kDim = 16, kQueries = 300, kTop = 7;

class RecallTargetJob : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("recall_target_test");
    vectors_ = testing::clustered_vectors(kCount, kDim, 1);
    testing::write_vectors<float>(folder() / "vectors", vectors_, kDim);
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static Manifest built(int ranks, const std::string& name, const std::string& more) {
    const auto done = run_tutti(
        ranks, "index --run " + (folder() / name).string() +
                   " --set vectors=" + (folder() / "vectors").string() +
                   " --set index.nlist=60 --set kmeans.iterations=4 --set kmeans.seed=5 " + more);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return load_manifest(folder() / name);
  }
  static Manifest measured(int ranks, const std::string& name, const std::string& more = "") {
    return built(ranks, name,
                 "--set index.target_recall=0.93 --set index.target_k=7"
                 " --set index.target_queries=300 " +
                     more);
  }
  static testing::CommandResult search(const std::string& index, const std::string& run,
                                       const std::string& more) {
    return run_tutti(2, "search --run " + (folder() / run).string() +
                            " --set index=" + (folder() / index).string() + " --set query.file=" +
                            (folder() / "queries.fvecs").string() + " " + more);
  }
  // The rows that are queries, as a file of them.
  static std::vector<std::int64_t> write_queries() {
    const auto rows = RowSample(kCount, kDim * 4, kQueries, 5).rows_of({0, kQueries});
    std::vector<float> queries;
    for (const std::int64_t row : rows)
      queries.insert(queries.end(), vectors_.begin() + row * kDim,
                     vectors_.begin() + (row + 1) * kDim);
    testing::write_fvecs(folder() / "queries.fvecs", queries, kDim);
    return rows;
  }
  // Of what a search found, a query's own entry left out.
  static std::vector<std::vector<std::int64_t>> others(const std::string& run,
                                                       std::span<const std::int64_t> rows) {
    const testing::Found found = testing::read_neighbors(folder() / run);
    std::vector<std::vector<std::int64_t>> ids;
    for (std::size_t q = 0; q < rows.size(); ++q) {
      const auto first = found.ids.begin() + std::ptrdiff_t(q) * (kTop + 1);
      ids.emplace_back(first, first + kTop + 1);
      std::erase(ids.back(), 10 * rows[q]);
      ids.back().resize(kTop);
      std::ranges::sort(ids.back());
    }
    return ids;
  }

  static testing::ScratchFolder* scratch_;
  static std::vector<float> vectors_;
};
testing::ScratchFolder* RecallTargetJob::scratch_ = nullptr;
std::vector<float> RecallTargetJob::vectors_;

TEST_F(RecallTargetJob, IsTheSameOnAnyNumberOfRanksAndLeavesTheDigest) {
  const Manifest plain = built(2, "plain", "");
  EXPECT_FALSE(plain.metadata.contains("recall_curve"));
  const Manifest one = measured(1, "one");
  EXPECT_EQ(one.digest, plain.digest);
  EXPECT_EQ(one.files, plain.files);
  EXPECT_EQ(one.metadata.at("recall_queries"), kQueries);
  for (int ranks : {2, 4})
    EXPECT_EQ(measured(ranks, "more", ranks == 4 ? "--set memory_limit=1MiB" : ""), one) << ranks;
}

TEST_F(RecallTargetJob, IsWhatSearchesFind) {
  const auto rows = write_queries();
  for (const char* metric : {"l2", "cosine"}) {
    const Manifest index = measured(2, metric, std::string("--set index.metric=") + metric);
    const std::string wide =
        " --set search.rank_by=distances --set search.k=" + std::to_string(kTop + 1);
    ASSERT_EQ(search(metric, "truth", "--set search.mode=exact" + wide).exit_code, 0);
    const auto truth = others("truth", rows);
    const auto& curve = index.metadata.at("recall_curve");
    ASSERT_GE(curve.size(), 4u);
    for (std::size_t point = 0; point < curve.size(); point += 2) {
      const std::int64_t nprobe = curve[point].at("nprobe");
      ASSERT_EQ(
          search(metric, "found", "--set search.nprobe=" + std::to_string(nprobe) + wide).exit_code,
          0);
      const auto found = others("found", rows);
      std::int64_t right = 0;
      for (std::size_t q = 0; q < rows.size(); ++q) {
        std::vector<std::int64_t> common;
        std::ranges::set_intersection(truth[q], found[q], std::back_inserter(common));
        right += std::ssize(common);
      }
      EXPECT_EQ(curve[point].at("recall_at_7").get<double>(),
                double(right) / double(kQueries * kTop))
          << metric << ", nprobe " << nprobe;
    }
    EXPECT_EQ(curve.back().at("recall_at_7"), 1.0);
  }
}

TEST_F(RecallTargetJob, ASearchTakesTheSmallestSettingThatReachesIt) {
  write_queries();
  const Manifest index = measured(2, "index");
  const auto& curve = index.metadata.at("recall_curve");
  const std::int64_t target = index.metadata.at("target_nprobe");
  for (const auto& point : curve) {
    const bool reaches = point.at("recall_at_7").get<double>() >= 0.93;
    EXPECT_EQ(point.at("nprobe").get<std::int64_t>() >= target, reaches) << point;
  }
  const auto done = search("index", "found", "--set search.target_recall=0.93");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("nprobe " + std::to_string(target) + ", recall@7 0.9"),
            std::string::npos)
      << done.output;
  const auto result = nlohmann::json::parse(read_text(folder() / "found" / "result.json"));
  EXPECT_EQ(result.at("nprobe"), target);
  EXPECT_EQ(result.at("target_recall"), 0.93);
  const auto all = search("index", "found", "--set search.target_recall=1 --json");
  EXPECT_EQ(nlohmann::json::parse(read_text(folder() / "found" / "result.json")).at("nprobe"),
            curve.back().at("nprobe"));
  const auto shown = run_tutti(1, "inspect " + (folder() / "index").string());
  EXPECT_NE(shown.output.find("\n    {\"nprobe\":1,\"recall_at_7\":0."), std::string::npos)
      << shown.output;
}

TEST_F(RecallTargetJob, MistakesAreNamed) {
  write_queries();
  built(1, "unmeasured", "");
  const auto none = search("unmeasured", "refused", "--set search.target_recall=0.9");
  EXPECT_EQ(none.exit_code, 64) << none.output;
  EXPECT_NE(none.output.find("index.target_recall"), std::string::npos) << none.output;
  for (const char* mistake : {"search.target_recall=1.5", "search.target_recall=-1"})
    EXPECT_EQ(search("unmeasured", "refused", std::string("--set ") + mistake).exit_code, 64);
  EXPECT_FALSE(std::filesystem::exists(folder() / "refused" / "manifest.json"));
  for (const char* mistake :
       {"index.target_recall=1.5", "index.target_k=0", "index.target_queries=0"})
    EXPECT_EQ(run_tutti(1, "index --run " + (folder() / "refused").string() + " --set vectors=" +
                               (folder() / "vectors").string() + " --set " + mistake)
                  .exit_code,
              64)
        << mistake;
}

TEST_F(RecallTargetJob, FewerVectorsThanNeighbours) {
  testing::write_vectors<float>(folder() / "few", std::vector<float>{1, 2, 3, 4, 5, 6}, 2);
  const Manifest few =
      measured(3, "few_index", "--set index.nlist=0 --set vectors=" + (folder() / "few").string());
  EXPECT_EQ(few.metadata.at("recall_queries"), 3);
  EXPECT_EQ(few.metadata.at("recall_curve").back().at("recall_at_7"), 1.0);
}

}  // namespace
}  // namespace tutti
