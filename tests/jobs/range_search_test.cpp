// Searches within a radius: what is near enough, no more and no less.
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/jobs/described_vectors.h"
#include "tests/jobs/found_ranges.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::Description;
using testing::FoundRanges;
using testing::ranges_by_force;
using testing::read_ranges;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 3000, kDim = 20, kQueries = 60;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(PublishedDistance, TheLimitIsTheLargestDistanceWithinTheRadius) {
  for (const float radius : {0.0f, 1e-30f, 1e-20f, 0.1f, 1.0f, 3.3f, 1e10f, 1e19f, 3e38f}) {
    const float limit = distance_limit(radius, Metric::l2);
    EXPECT_LE(std::sqrt(limit), radius);
    if (limit < kInfinity) {
      EXPECT_GT(std::sqrt(std::nextafter(limit, kInfinity)), radius) << radius;
    }
  }
  EXPECT_EQ(distance_limit(2, Metric::l2), std::nextafter(4.0f, kInfinity));  // whose root is 2
  EXPECT_EQ(distance_limit(0.1, Metric::cosine), 0.1f);
  EXPECT_EQ(distance_limit(7, Metric::inner_product), -7);
  EXPECT_EQ(distance_limit(1e300, Metric::l2), kInfinity);
}

class RangeSearch : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("range_search_test");
    const std::vector<float> values = clustered_vectors(kCount, kDim, 1);
    testing::shard_described_vectors(folder(), "vectors", values, kDim);
    testing::shard_described_vectors(folder(), "numbered", values, kDim, "number:integer");
    testing::write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    for (const char* metric : {"l2", "cosine", "inner_product"}) build(metric, "vectors", metric);
    build("numbered_index", "numbered", "l2");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static void build(const std::string& run, const std::string& vectors, const std::string& metric) {
    const auto done = run_tutti(2, "index --run " + (folder() / run).string() +
                                       " --set vectors=" + (folder() / vectors).string() +
                                       " --set index.shards=4 --set kmeans.iterations=4" +
                                       " --set index.metric=" + metric);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static testing::CommandResult try_search(int ranks, const std::string& run,
                                           const std::string& index, double radius,
                                           const std::string& more = "") {
    return run_tutti(ranks, "search --run " + (folder() / run).string() +
                                " --set index=" + (folder() / index).string() +
                                " --set query.file=" + (folder() / "queries.fvecs").string() +
                                fmt::format(" --set search.radius={} ", radius) + more);
  }
  // Searches and returns result.json.
  static nlohmann::json search(int ranks, const std::string& run, const std::string& index,
                               double radius, const std::string& more = "") {
    const auto done = try_search(ranks, run, index, radius, more);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  static FoundRanges truth(Metric metric, double radius,
                           const std::function<bool(std::int64_t)>& passes = testing::every_row,
                           std::size_t most = std::size_t(-1)) {
    std::vector<float> vectors = clustered_vectors(kCount, kDim, 1),
                       queries = clustered_vectors(kQueries, kDim, 2);
    if (metric == Metric::cosine) {
      normalise({vectors.data(), kCount, kDim});
      normalise({queries.data(), kQueries, kDim});
    }
    return ranges_by_force(vectors, queries, kDim, metric, radius, 1, passes, most);
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* RangeSearch::scratch_ = nullptr;

const std::string kExact = "--set search.mode=exact ";

TEST_F(RangeSearch, ExactIsABruteForce) {
  struct Case {
    Metric metric;
    std::vector<double> radii;  // the first finds some, the last everything or nothing
  };
  for (const auto& [metric, radii] :
       {Case{Metric::l2, {5.5, 6.3, 0}}, Case{Metric::cosine, {0.1, 0.3, 2.01}},
        Case{Metric::inner_product, {150, 0, -1e5}}}) {
    for (const double radius : radii) {
      const std::string index(name_of(metric));
      const auto result = search(2, "exact", index, radius, kExact);
      const FoundRanges expected = truth(metric, radius);
      EXPECT_EQ(read_ranges(folder() / "exact"), expected) << index << " " << radius;
      EXPECT_EQ(result["neighbors"], expected.ids.size());
      if (radius == radii[0]) {
        EXPECT_GT(expected.ids.size(), 50u) << index;
        EXPECT_LT(expected.ids.size(), std::size_t(kCount * kQueries / 4)) << index;
      }
    }
  }
}

TEST_F(RangeSearch, TheSameBytesOnAnyNumberOfRanksInAnyBatchesAndMemory) {
  for (const char* mode : {"exact", "probe"}) {
    const std::string more = std::string("--set search.nprobe=9 --set search.mode=") + mode + " ";
    const auto one = search(1, "one", "l2", 6, more);
    EXPECT_GT(one["neighbors"], 1000);
    for (const int ranks : {2, 4}) {
      EXPECT_EQ(search(ranks, "several", "l2", 6, more)["ranges_digest"], one["ranges_digest"]);
      EXPECT_EQ(read_text(folder() / "several" / "ranges.h5"),
                read_text(folder() / "one" / "ranges.h5"));
    }
    const std::string tight = more + "--set search.batch=7 --set memory_limit=1MiB";
    EXPECT_EQ(search(2, "tight", "l2", 6, tight)["ranges_digest"], one["ranges_digest"]);
  }
}

TEST_F(RangeSearch, ProbingFindsPartOfItAndSaysHowMuch) {
  const auto exact = search(2, "exact", "l2", 6, kExact);
  const auto few = search(2, "few", "l2", 6, "--set search.mode=both --set search.nprobe=3");
  EXPECT_EQ(few["recall_in_radius"],
            few["neighbors"].get<double>() / exact["neighbors"].get<double>());
  EXPECT_GT(few["recall_in_radius"], 0.2);
  EXPECT_LT(few["recall_in_radius"], 1.0);
  const FoundRanges all = read_ranges(folder() / "exact"), some = read_ranges(folder() / "few");
  for (std::size_t q = 0; q < kQueries; ++q)
    for (std::int64_t i = some.offsets[q]; i < some.offsets[q + 1]; ++i)
      EXPECT_NE(std::find(all.ids.begin() + all.offsets[q], all.ids.begin() + all.offsets[q + 1],
                          some.ids[std::size_t(i)]),
                all.ids.begin() + all.offsets[q + 1]);
  const auto lists = search(2, "lists", "l2", 6, "--set search.nprobe=1000");
  EXPECT_EQ(lists["ranges_digest"], exact["ranges_digest"]);
}

TEST_F(RangeSearch, WithAFilterOnlyWhatPasses) {
  const auto passes = [](std::int64_t row) {
    const Description d(row);
    return d.is_known() && d.year() >= 2010;
  };
  const FoundRanges expected = truth(Metric::l2, 6, passes);
  EXPECT_GT(expected.ids.size(), 50u);
  for (const char* plan : {"exact", "lists"}) {
    const auto result = search(2, "where", "l2", 6,
                               "--where 'year >= 2010' --set search.nprobe=1000 "
                               "--set search.where_plan=" +
                                   std::string(plan));
    EXPECT_EQ(read_ranges(folder() / "where"), expected) << plan;
    EXPECT_EQ(result["where"], "year >= 2010");
  }
}

TEST_F(RangeSearch, ALimitKeepsTheNearestAndTells) {
  const FoundRanges all = truth(Metric::l2, 6);
  const FoundRanges expected = truth(Metric::l2, 6, testing::every_row, 4);
  std::int64_t cut = 0;
  for (std::size_t q = 0; q < kQueries; ++q) cut += all.offsets[q + 1] - all.offsets[q] > 4;
  ASSERT_GT(cut, 0);
  for (const int ranks : {1, 2}) {
    const auto result = search(ranks, "cut", "l2", 6, kExact + "--set search.range_limit=4");
    EXPECT_EQ(read_ranges(folder() / "cut"), expected);
    EXPECT_EQ(result["cut_queries"], cut);
  }
  EXPECT_NE(read_text(folder() / "cut" / "log.txt").find("more than search.range_limit = 4"),
            std::string::npos);
}

TEST_F(RangeSearch, NamesStandBesideIds) {
  const FoundRanges expected = truth(Metric::l2, 5.5);
  search(2, "named", "l2", 5.5, kExact + "--set search.batch=17");
  std::istringstream lines(read_text(folder() / "named" / "external_ids.jsonl"));
  std::size_t at = 0, queries = 0;
  for (std::string line; std::getline(lines, line); ++queries)
    for (const auto& name : nlohmann::json::parse(line))
      EXPECT_EQ(name, Description(expected.ids.at(at++)).doc());
  EXPECT_EQ(at, expected.ids.size());
  EXPECT_EQ(queries, std::size_t(kQueries));
  search(2, "named", "numbered_index", 5.5, kExact + "--set search.batch=17");
  const auto numbers =
      testing::read_column<std::int64_t>(folder() / "named" / "ranges.h5", "external_ids");
  ASSERT_EQ(numbers.size(), expected.ids.size());
  for (std::size_t i = 0; i < numbers.size(); ++i)
    EXPECT_EQ(numbers[i], Description(expected.ids[i]).number());
  EXPECT_FALSE(std::filesystem::exists(folder() / "named" / "external_ids.jsonl"));
  const auto seen = run_tutti(1, "inspect " + (folder() / "named").string());
  EXPECT_EQ(seen.exit_code, 0) << seen.output;
}

TEST_F(RangeSearch, AFolderHoldsTheLastSearchOnly) {
  search(1, "folder", "l2", 6);
  EXPECT_TRUE(std::filesystem::exists(folder() / "folder" / "ranges.h5"));
  search(1, "folder", "l2", 6, "--set search.radius=none");
  EXPECT_FALSE(std::filesystem::exists(folder() / "folder" / "ranges.h5"));
  EXPECT_TRUE(std::filesystem::exists(folder() / "folder" / "neighbors.h5"));
  search(1, "folder", "l2", 6);
  EXPECT_FALSE(std::filesystem::exists(folder() / "folder" / "neighbors.h5"));
  for (const auto& entry : std::filesystem::directory_iterator(folder() / "folder"))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
}

TEST_F(RangeSearch, MistakesEndWithTheirCode) {
  const auto expect_error = [](const std::string& index, const std::string& radius,
                               const std::string& more, const std::string& text) {
    const auto done =
        run_tutti(2, "search --run " + (folder() / "mistake").string() +
                         " --set index=" + (folder() / index).string() +
                         " --set query.file=" + (folder() / "queries.fvecs").string() +
                         " --set search.radius=" + radius + " " + more);
    EXPECT_EQ(done.exit_code, 64) << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << done.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
  };
  expect_error("l2", "-1", "", "search.radius");
  expect_error("cosine", "-0.5", "", "search.radius");
  expect_error("l2", "nan", "", "search.radius");
  expect_error("l2", "far", "", "search.radius");
  expect_error("l2", "1", "--evaluate", "search.evaluate");
  expect_error("l2", "1", "--set search.range_limit=-1", "search.range_limit");
  expect_error("l2", "none", "--set search.range_limit=3", "search.range_limit");
  expect_error("l2", "1", "--set search.range_limit=3 --set search.mode=both",
               "search.range_limit");
}

}  // namespace
}  // namespace tutti
