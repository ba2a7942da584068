// Searches with a filter over metadata, and what they say of it.
#include <algorithm>
#include <functional>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "jobs/index_searcher.h"
#include "tests/jobs/described_vectors.h"
#include "tests/jobs/found_neighbors.h"

namespace tutti {
namespace {

using testing::brute_force;
using testing::clustered_vectors;
using testing::Description;
using testing::Found;
using testing::read_neighbors;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 4000, kDim = 60, kQueries = 40;
constexpr std::int64_t kLists = 253;  // 4 * sqrt(4000)

using Plan = SearchScope::Plan;

TEST(PlanProbes, LooksAtAsManyVectorsAsWithoutAFilterOrAtAll) {
  const auto lists = [](Plan wanted, std::int64_t passing) {
    const ProbePlan plan = plan_probes(wanted, passing, 1000000, 16, 4000);
    return plan.exact ? -1 : plan.lists;
  };
  EXPECT_EQ(lists(Plan::automatic, 1000000), 16);
  EXPECT_EQ(lists(Plan::automatic, 300000), 54);
  EXPECT_EQ(lists(Plan::automatic, 40000), 400);
  EXPECT_EQ(lists(Plan::automatic, 30000), -1);                                   // few
  EXPECT_EQ(plan_probes(Plan::automatic, 100000, 1000000, 16, 300).exact, true);  // most lists
  EXPECT_EQ(lists(Plan::automatic, 0), -1);
  EXPECT_EQ(lists(Plan::lists, 10), 4000);
  EXPECT_EQ(lists(Plan::lists, 0), 4000);
  EXPECT_EQ(lists(Plan::exact, 1000000), -1);
}

// A filter, and the same as a function of the row.
struct Where {
  const char* text;
  std::function<bool(const Description&)> passes;

  bool operator()(std::int64_t row) const { return passes(Description(row)); }
};

const Where kOften{"score is not null", [](const Description& d) { return d.is_known(); }};
const Where kSometimes{"lang = 'en' and year >= 2010", [](const Description& d) {
                         return d.is_known() && d.lang() == "en" && d.year() >= 2010;
                       }};
const Where kTagged{"tags contains 'old' or score is null",
                    [](const Description& d) { return !d.is_known() || d.is_old(); }};
const Where kFewerThanK{"score between 100 and 105", [](const Description& d) {
                          return d.is_known() && d.score() >= 100 && d.score() <= 105;
                        }};
const Where kNever{"year < 0", [](const Description&) { return false; }};

class SearchWhere : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("search_where_test");
    const std::vector<float> values = clustered_vectors(kCount, kDim, 1);
    testing::shard_described_vectors(folder(), "vectors", values, kDim);
    testing::shard_described_vectors(folder(), "numbered", values, kDim, "number:integer");
    testing::write_vectors<float>(folder() / "plain", values, kDim);
    testing::write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    for (const char* metric : {"l2", "cosine"}) build(metric, "vectors", metric);
    build("numbered_index", "numbered", "l2");
    build("plain_index", "plain", "l2");
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
                                           const std::string& index, const std::string& where,
                                           const std::string& more = "") {
    return run_tutti(ranks, "search --run " + (folder() / run).string() +
                                " --set index=" + (folder() / index).string() +
                                " --set query.file=" + (folder() / "queries.fvecs").string() +
                                " --where \"" + where + "\" " + more);
  }
  // Searches and returns result.json.
  static nlohmann::json search(int ranks, const std::string& run, const std::string& index,
                               const std::string& where, const std::string& more = "") {
    const auto done = try_search(ranks, run, index, where, more);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  static void expect_refused(const std::string& index, const std::string& where,
                             const std::string& text) {
    for (const char* more : {"", "--dry-run"}) {
      const auto done = try_search(2, "mistake", index, where, more);
      EXPECT_EQ(done.exit_code, 65) << where << "\n" << done.output;
      EXPECT_NE(done.output.find(text), std::string::npos) << where << "\n" << done.output;
    }
    EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* SearchWhere::scratch_ = nullptr;

TEST_F(SearchWhere, ExactIsABruteForceOverWhatPasses) {
  for (const Metric metric : {Metric::l2, Metric::cosine}) {
    std::vector<float> vectors = clustered_vectors(kCount, kDim, 1),
                       queries = clustered_vectors(kQueries, kDim, 2);
    if (metric == Metric::cosine) {
      normalise({vectors.data(), kCount, kDim});
      normalise({queries.data(), kQueries, kDim});
    }
    for (const Where& where : {kOften, kSometimes, kTagged, kFewerThanK, kNever}) {
      const auto result = search(2, "exact", std::string(name_of(metric)), where.text);
      const Found found = read_neighbors(folder() / "exact");
      const Found truth = brute_force(vectors, queries, kDim, metric, 10, 1, where);
      EXPECT_EQ(found.ids, truth.ids) << where.text;
      EXPECT_EQ(found.distances, truth.distances) << where.text;
      EXPECT_EQ(result["where"], where.text);
      EXPECT_EQ(result["where_plan"], "exact");
      std::int64_t passing = 0;
      for (std::int64_t row = 0; row < kCount; ++row) passing += where(row);
      EXPECT_EQ(result["where_passing"], passing) << where.text;
      EXPECT_EQ(result["selectivity"], double(passing) / kCount);
    }
  }
}

TEST_F(SearchWhere, TheSameBytesOnAnyNumberOfRanksAndInAnyMemory) {
  for (const char* plan : {"exact", "lists"}) {
    const std::string more = std::string("--set search.nprobe=6 --set search.where_plan=") + plan;
    const std::string tight = more + " --set search.batch=15 --set memory_limit=1MiB";
    for (const Where& where : {kOften, kSometimes}) {
      const auto one = search(1, "one", "l2", where.text, more);
      for (const int ranks : {2, 4})
        EXPECT_EQ(search(ranks, "several", "l2", where.text, more)["neighbors_digest"],
                  one["neighbors_digest"])
            << ranks << " ranks, " << plan;
      // Of what passes often, too much to be kept in so little memory.
      EXPECT_EQ(search(1, "tight", "l2", where.text, tight)["neighbors_digest"],
                one["neighbors_digest"])
          << plan;
    }
  }
}

TEST_F(SearchWhere, ListsAreMaskedAndMoreOfThemTheFewerPass) {
  const std::string lists = "--set search.where_plan=lists ";
  const auto few = search(2, "few", "l2", kSometimes.text,
                          lists + "--set search.mode=both --set search.nprobe=1");
  EXPECT_EQ(few["where_plan"], "lists");
  EXPECT_EQ(few["where_lists"], std::ceil(1 / few["selectivity"].get<double>()));
  EXPECT_GT(few["recall_at_k"], 0.3);
  EXPECT_LT(few["recall_at_k"], 1.0);
  for (const std::int64_t id : read_neighbors(folder() / "few").ids) EXPECT_TRUE(kSometimes(id));
  const auto all = search(2, "all", "l2", kSometimes.text,
                          lists + "--set search.nprobe=" + std::to_string(kLists));
  EXPECT_EQ(all["where_lists"], kLists);
  EXPECT_EQ(all["neighbors_digest"], search(2, "exact", "l2", kSometimes.text)["neighbors_digest"]);
  search(3, "none", "l2", kNever.text, lists);
  for (const std::int64_t id : read_neighbors(folder() / "none").ids) EXPECT_EQ(id, -1);
}

// What the definition calls the neighbours that were found in a run: "" for padding.
std::vector<std::string> names_of(const std::vector<std::int64_t>& ids) {
  std::vector<std::string> names;
  for (const std::int64_t id : ids) names.push_back(id < 0 ? "" : Description(id).doc());
  return names;
}

TEST_F(SearchWhere, NamesStandBesideIdsInAFileOfTheirOwn) {
  for (const Where& where : {kOften, kFewerThanK}) {
    for (const int ranks : {1, 2, 4}) {
      const std::string run = "named" + std::to_string(ranks);
      search(ranks, run, "l2", where.text, "--set search.batch=17");
      std::vector<std::string> names;
      std::istringstream lines(read_text(folder() / run / "external_ids.jsonl"));
      for (std::string line; std::getline(lines, line);) {
        const auto row = nlohmann::json::parse(line);
        ASSERT_EQ(row.size(), 10u);
        for (const auto& name : row)
          names.push_back(name.is_null() ? std::string() : name.get<std::string>());
      }
      EXPECT_EQ(names, names_of(read_neighbors(folder() / run).ids)) << ranks;
      EXPECT_EQ(read_text(folder() / run / "manifest.json"),
                read_text(folder() / "named1" / "manifest.json"));
    }
    const auto seen = run_tutti(1, "inspect " + (folder() / "named2").string());
    EXPECT_EQ(seen.exit_code, 0) << seen.output;
  }
}

TEST_F(SearchWhere, NumbersOfUsersAreADataset) {
  search(2, "numbers", "l2", kFewerThanK.text);  // which leaves a file of names
  for (const int ranks : {1, 2, 4}) {
    search(ranks, "numbers", "numbered_index", kFewerThanK.text, "--set search.batch=17");
    const Found found = read_neighbors(folder() / "numbers");
    const Hdf5Import file(folder() / "numbers" / "neighbors.h5");
    const Hdf5Dataset* ids = file.find("external_ids");
    ASSERT_NE(ids, nullptr);
    ASSERT_EQ(ids->shape, (std::vector<std::int64_t>{kQueries, 10}));
    std::vector<std::int64_t> numbers(found.ids.size());
    file.read_rows(*ids, 0, kQueries, std::span(numbers));
    for (std::size_t i = 0; i < numbers.size(); ++i)
      EXPECT_EQ(numbers[i], found.ids[i] < 0 ? -1 : Description(found.ids[i]).number());
    EXPECT_FALSE(std::filesystem::exists(folder() / "numbers" / "external_ids.jsonl"));
  }
}

TEST_F(SearchWhere, TheCommandLineWinsAndNoFilterIsNone) {
  const std::string key = "--set 'search.where=\"year < 0\"'";
  search(1, "key", "l2", kSometimes.text, key);
  for (const std::int64_t id : read_neighbors(folder() / "key").ids) EXPECT_TRUE(kSometimes(id));
  EXPECT_FALSE(search(1, "no_filter", "l2", "", key).contains("where"));
}

TEST_F(SearchWhere, BadFiltersAreRefused) {
  expect_refused("l2", "yaer >= 2020", "there is no column 'yaer'");
  expect_refused("l2", "yaer >= 2020", "the nearest is 'year'");
  expect_refused("l2", "year >= ", "expected a number");
  expect_refused("l2", "year = 'new'", "year");
  expect_refused("plain_index", "year >= 2020", "the vectors have no metadata");
  const auto done =
      run_tutti(1, "index --run " + (folder() / "mistake").string() +
                       " --set vectors=" + (folder() / "plain").string() + " --where 'year = 1'");
  EXPECT_EQ(done.exit_code, 64) << done.output;
}

}  // namespace
}  // namespace tutti
