// search.evaluate: recall against true neighbours, given or found, and what is left of it.
#include <cstring>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "jobs/recall_curve.h"
#include "runtime/data/ground_truth.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::read_text;
using testing::run_tutti;

TEST(RecallCount, CountsIdsAmongTheFirst) {
  RecallCount count({1, 2, 4});
  count.add(std::vector<std::int64_t>{7, 3, 9, -1}, std::vector<std::int64_t>{3, 7, 5, 9});
  count.add(std::vector<std::int64_t>{1, 2, 3, 4}, std::vector<std::int64_t>{1, 6, -1, -1});
  EXPECT_EQ(count.recalls(), (std::vector<double>{1.0 / 2, 3.0 / 4, 4.0 / 6}));
  EXPECT_EQ(RecallCount({1}).recalls(), std::vector<double>{1});
}

TEST(RecallCurve, CutoffsAndSettings) {
  using Numbers = std::vector<std::int64_t>;
  EXPECT_EQ(recall_cutoffs(1), (Numbers{1}));
  EXPECT_EQ(recall_cutoffs(10), (Numbers{1, 10}));
  EXPECT_EQ(recall_cutoffs(50), (Numbers{1, 10, 50}));
  EXPECT_EQ(recall_cutoffs(200), (Numbers{1, 10, 100, 200}));
  EXPECT_EQ(nprobe_sweep({}, 16, 20), (Numbers{1, 2, 4, 8, 16, 20}));
  EXPECT_EQ(nprobe_sweep({}, 3, 8), (Numbers{1, 2, 3, 4, 8}));
  EXPECT_EQ(nprobe_sweep(Numbers{9, 2, 100}, 2, 10), (Numbers{2, 9, 10}));
}

TEST(RecallCurve, PercentilesAreValuesThatWereMeasured) {
  EXPECT_EQ(percentile({3}, 0.99), 3);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.99), 4);
}

constexpr std::int64_t kCount = 2000, kDim = 16, kQueries = 50;

class Evaluation : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("search_evaluation_test");
    testing::write_vectors<float>(folder() / "vectors", clustered_vectors(kCount, kDim, 1), kDim);
    testing::write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    const auto built =
        run_tutti(2, "index --run " + (folder() / "index").string() +
                         " --set index.nlist=40 --set vectors=" + (folder() / "vectors").string() +
                         " --set kmeans.iterations=4");
    ASSERT_EQ(built.exit_code, 0) << built.output;
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more) {
    return "search --run " + (folder() / run).string() +
           " --set index=" + (folder() / "index").string() +
           " --set query.file=" + (folder() / "queries.fvecs").string() + " " + more;
  }
  static nlohmann::json search(int ranks, const std::string& run, const std::string& more) {
    const auto done = run_tutti(ranks, arguments(run, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  static std::string truth(const std::filesystem::path& file) {
    return " --evaluate --set evaluate.truth=" + file.string();
  }
  // The neighbours of a run as big-ann's ground truth, the last `left_out` queries missing.
  static std::string truth_bytes(const std::string& run, std::int64_t left_out = 0) {
    const GroundTruth found(folder() / run / "neighbors.h5");
    const std::int64_t queries = found.queries() - left_out;
    std::vector<std::int64_t> ids(std::size_t(queries * found.k()));
    found.read_rows(0, queries, 10 * kCount, ids);
    std::vector<std::int32_t> words = {std::int32_t(queries), std::int32_t(found.k())};
    words.insert(words.end(), ids.begin(), ids.end());
    return {reinterpret_cast<const char*>(words.data()), words.size() * sizeof(words[0])};
  }
  static void expect_refused(const std::string& more, int code, const std::string& said) {
    const auto done = run_tutti(2, arguments("refused", more));
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(said), std::string::npos) << more << "\n" << done.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "refused" / "manifest.json"));
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Evaluation::scratch_ = nullptr;

std::vector<double> recalls_of(const nlohmann::json& result, const char* name) {
  std::vector<double> recalls;
  for (const auto& point : result.at("curve")) recalls.push_back(point.at(name));
  return recalls;
}

TEST_F(Evaluation, FindsTheTruthAndSweeps) {
  const auto result = search(2, "sweep", "--evaluate --set search.nprobe=3 --set search.batch=9");
  std::vector<std::int64_t> settings;
  for (const auto& point : result["curve"]) {
    settings.push_back(point["nprobe"]);
    EXPECT_GT(point["queries_per_second"], 0);
    EXPECT_GE(point["batch_seconds_p99"], point["batch_seconds_p50"]);
  }
  EXPECT_EQ(settings, (std::vector<std::int64_t>{1, 2, 3, 4, 8, 16, 32, 40}));
  const auto recalls = recalls_of(result, "recall_at_10");
  EXPECT_TRUE(std::ranges::is_sorted(recalls));
  EXPECT_EQ(recalls.back(), 1.0);
  EXPECT_EQ(result["recall_at_10"], recalls[2]);
  EXPECT_EQ(result["recall_at_1"], recalls_of(result, "recall_at_1")[2]);
  EXPECT_FALSE(result.contains("recall_at_100"));
  EXPECT_EQ(result["queries_per_second"], result["curve"][2]["queries_per_second"]);
  EXPECT_EQ(result["truth"], "exact");
  const double vector = kDim * sizeof(float);
  EXPECT_GT(result["memory_bytes_per_vector"], vector);
  EXPECT_LT(result["memory_bytes_per_vector"], 4 * vector);
  EXPECT_GT(result["disk_bytes_per_vector"], vector);
}

TEST_F(Evaluation, TheRanksDoNotShowButInTheTimes) {
  const auto one = search(1, "one", "--evaluate");
  const auto two = search(2, "two", "--evaluate --set search.batch=7");
  EXPECT_EQ(one["neighbors_digest"], two["neighbors_digest"]);
  EXPECT_EQ(recalls_of(one, "recall_at_1"), recalls_of(two, "recall_at_1"));
  EXPECT_EQ(recalls_of(one, "recall_at_10"), recalls_of(two, "recall_at_10"));
  const auto plain = search(2, "plain", "");
  EXPECT_EQ(plain["neighbors_digest"], one["neighbors_digest"]);
  EXPECT_FALSE(plain.contains("curve"));
}

TEST_F(Evaluation, TheCurveIsAFileAndAPictureOutsideOfTheManifest) {
  const auto result =
      search(2, "files", "--set search.evaluate=true --set 'evaluate.nprobe=[2, 5, 1000]'");
  std::istringstream csv(read_text(folder() / "files" / "curve.csv"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(csv, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 5u);  // 2, 5, 16 and 40
  EXPECT_EQ(lines[0],
            "nprobe,recall_at_1,recall_at_10,queries_per_second,batch_seconds_p50,"
            "batch_seconds_p99");
  EXPECT_TRUE(lines[4].starts_with("40,1.000000,1.000000,")) << lines[4];
  const std::string svg = read_text(folder() / "files" / "curve.svg");
  EXPECT_NE(svg.find("2,000 vectors \u00d7 16 dimensions, k = 10"), std::string::npos);
  EXPECT_EQ(read_text(folder() / "files" / "manifest.json").find("curve"), std::string::npos);
  search(1, "files", "");  // what an earlier run measured does not stay beside this one's result
  EXPECT_FALSE(std::filesystem::exists(folder() / "files" / "curve.csv"));
  EXPECT_FALSE(std::filesystem::exists(folder() / "files" / "curve.svg"));
}

TEST_F(Evaluation, TakesTheTruthFromAFile) {
  const auto computed = search(2, "computed", "--evaluate");
  search(2, "exact", "--set search.mode=exact");
  testing::write_text(folder() / "truth.bin", truth_bytes("exact"));
  for (const auto& file : {folder() / "exact" / "neighbors.h5", folder() / "truth.bin"})
    for (int ranks : {1, 2}) {
      const auto given = search(ranks, "given", truth(file));
      EXPECT_EQ(recalls_of(given, "recall_at_10"), recalls_of(computed, "recall_at_10")) << file;
      EXPECT_EQ(recalls_of(given, "recall_at_1"), recalls_of(computed, "recall_at_1")) << file;
      EXPECT_EQ(given["truth"], file.string());
    }
  // A truth of fewer neighbours than are searched for reaches as far as it goes.
  const auto wide = search(2, "wide", truth(folder() / "truth.bin") + " --set search.k=100");
  EXPECT_TRUE(wide.contains("recall_at_10"));
  EXPECT_FALSE(wide.contains("recall_at_100"));
}

TEST_F(Evaluation, ATruthThatDoesNotFitIsRefusedByName) {
  search(1, "exact", "--set search.mode=exact");
  const std::string bytes = truth_bytes("exact");
  testing::write_text(folder() / "fewer.bin", truth_bytes("exact", 1));
  expect_refused(truth(folder() / "fewer.bin"), 65, "fewer.bin");
  expect_refused(truth(folder() / "fewer.bin"), 65, "49 queries, there are 50");
  expect_refused(truth(folder() / "fewer.bin") + " --dry-run", 65, "49 queries, there are 50");
  std::string beyond = bytes;
  const std::int32_t id = 10 * kCount;  // the largest is 10 less
  std::memcpy(beyond.data() + beyond.size() - 4, &id, 4);
  testing::write_text(folder() / "beyond.bin", beyond);
  expect_refused(truth(folder() / "beyond.bin"), 65, "the index's ids go up to 19990");
  testing::write_text(folder() / "cut.bin", bytes.substr(0, bytes.size() - 2));
  expect_refused(truth(folder() / "cut.bin"), 65, "cut.bin");
  expect_refused(truth("/nonexistent.ivecs"), 65, "/nonexistent.ivecs");
  expect_refused("--set evaluate.truth=truth.bin", 64, "--evaluate");
  expect_refused("--evaluate --set evaluate.nprobe=0", 64, "evaluate.nprobe");
}

}  // namespace
}  // namespace tutti
