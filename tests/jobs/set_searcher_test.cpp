// Several indexes searched as one: what one index of all vectors gives.
#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "jobs/found_neighbor.h"
#include "tests/jobs/described_vectors.h"
#include "tests/jobs/found_ranges.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::Description;
using testing::Found;
using testing::FoundRanges;
using testing::read_column;
using testing::read_neighbors;
using testing::read_ranges;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 3000, kDim = 20, kQueries = 60, kFirst = 1000;

TEST(FoundNeighbor, IsOrderedByDistanceIndexAndId) {
  const FoundNeighbor padding, far{2, 0, 1}, near{1, 1, 0}, same{1, 1, 5}, other{1, 2, 0};
  EXPECT_TRUE(found_before(near, far));
  EXPECT_TRUE(found_before(near, same));
  EXPECT_TRUE(found_before(same, other));
  EXPECT_TRUE(found_before(FoundNeighbor{padding.distance, 3, 9}, padding));
  EXPECT_FALSE(found_before(padding, padding));
  EXPECT_EQ(found_in(4, Neighbor{}), padding);
  EXPECT_EQ(found_in(4, Neighbor{1, 7}), (FoundNeighbor{1, 4, 7}));
}

// The first vectors are in the index `first`, the others in `second`, and all in `all`. Some are in
// both parts, so that there are ties.
class SetSearch : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("set_searcher_test");
    const std::vector<float> all = vectors();
    const auto part = std::span(all).first(std::size_t(kFirst * kDim));
    const auto rest = std::span(all).subspan(std::size_t(kFirst * kDim));
    testing::shard_described_vectors(folder(), "all_vectors", all, kDim);
    testing::shard_described_vectors(folder(), "first_vectors", part, kDim);
    testing::shard_described_vectors(folder(), "second_vectors", rest, kDim);
    testing::shard_described_vectors(folder(), "numbered_vectors", rest, kDim, "number:integer");
    testing::write_vectors<float>(folder() / "plain_vectors", rest, kDim);
    testing::write_vectors<float>(folder() / "narrow_vectors", clustered_vectors(300, 7, 1), 7);
    testing::write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    for (const char* name : {"all", "first", "second", "numbered", "plain", "narrow"})
      build(name, "l2");
    build("first", "cosine");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static std::vector<float> vectors() {
    std::vector<float> all = clustered_vectors(kCount, kDim, 1);
    for (std::int64_t i = 0; i < kFirst; i += 3)
      std::copy_n(all.begin() + i * kDim, kDim, all.begin() + (kCount - 1 - i) * kDim);
    return all;
  }
  static const std::filesystem::path& folder() { return scratch_->path(); }
  static void build(const std::string& name, const std::string& metric) {
    const auto done = run_tutti(
        2, "index --run " + (folder() / (name + "_" + metric)).string() +
               " --set vectors=" + (folder() / (name + "_vectors")).string() +
               " --set index.shards=3 --set kmeans.iterations=4 --set index.metric=" + metric);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static testing::CommandResult try_search(int ranks, const std::string& run,
                                           const std::vector<std::string>& indexes,
                                           const std::string& more) {
    std::string list;
    for (const std::string& index : indexes)
      list += (list.empty() ? "\"" : ", \"") + (folder() / index).string() + "\"";
    return run_tutti(ranks, "search --run " + (folder() / run).string() + " --set 'index=[" + list +
                                "]' --set query.file=" + (folder() / "queries.fvecs").string() +
                                " " + more);
  }
  static nlohmann::json search(int ranks, const std::string& run,
                               const std::vector<std::string>& indexes, const std::string& more) {
    const auto done = try_search(ranks, run, indexes, more);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  // The ids that these vectors have in the index of all.
  static std::vector<std::int64_t> as_in_all(std::vector<std::int64_t> ids,
                                             const std::vector<std::int32_t>& places) {
    EXPECT_EQ(ids.size(), places.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(ids[i] < 0, places[i] < 0);
      if (places[i] == 1) ids[i] += kFirst;
    }
    return ids;
  }
  static void expect_as_one(const std::string& more) {
    for (const int ranks : {1, 2, 4}) {
      search(2, "one", {"all_l2"}, more);
      search(ranks, "set", {"first_l2", "second_l2"}, more);
      const Found one = read_neighbors(folder() / "one"), set = read_neighbors(folder() / "set");
      const auto places = read_column<std::int32_t>(folder() / "set" / "neighbors.h5", "index");
      EXPECT_EQ(as_in_all(set.ids, places), one.ids) << more;
      EXPECT_EQ(set.distances, one.distances) << more;
      EXPECT_TRUE(read_column<std::int32_t>(folder() / "one" / "neighbors.h5", "index").empty());
    }
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* SetSearch::scratch_ = nullptr;

const std::string kExact = "--set search.mode=exact ";

TEST_F(SetSearch, ExactIsASearchOfOneIndexOfAll) {
  expect_as_one(kExact);
  expect_as_one(kExact + "--set memory_limit=1MiB --set search.batch=23");
  expect_as_one("--set search.nprobe=1000");
  expect_as_one(kExact + "--set search.k=" + std::to_string(kCount + 5));  // with padding
}

TEST_F(SetSearch, WithinARadiusItIsTheSame) {
  for (const std::string& more : {kExact, std::string("--set search.nprobe=1000 ")}) {
    search(2, "one", {"all_l2"}, more + "--set search.radius=6");
    for (const int ranks : {1, 2, 4}) {
      search(ranks, "set", {"first_l2", "second_l2"}, more + "--set search.radius=6");
      const FoundRanges one = read_ranges(folder() / "one");
      FoundRanges set = read_ranges(folder() / "set");
      set.ids =
          as_in_all(set.ids, read_column<std::int32_t>(folder() / "set" / "ranges.h5", "index"));
      EXPECT_EQ(set, one);
      EXPECT_GT(one.ids.size(), 1000u);
    }
  }
  const auto cut = search(2, "set", {"first_l2", "second_l2"},
                          kExact + "--set search.radius=6 --set search.range_limit=3");
  EXPECT_GT(cut["cut_queries"], 0);
  for (std::size_t q = 0; q < kQueries; ++q) {
    const auto offsets = read_ranges(folder() / "set").offsets;
    EXPECT_LE(offsets[q + 1] - offsets[q], 3);
  }
}

TEST_F(SetSearch, ProbingIsTheSameOnAnyNumberOfRanks) {
  const std::string more = "--set search.mode=both --set search.nprobe=4";
  const auto one = search(1, "one", {"first_l2", "second_l2"}, more);
  EXPECT_GT(one["recall_at_k"], 0.4);
  EXPECT_LT(one["recall_at_k"], 1.0);
  for (const int ranks : {2, 4})
    EXPECT_EQ(search(ranks, "set", {"first_l2", "second_l2"}, more)["neighbors_digest"],
              one["neighbors_digest"]);
}

TEST_F(SetSearch, AFilterIsOverEachIndex) {
  const auto found = search(2, "where", {"first_l2", "second_l2"}, "--where 'year >= 2010'");
  const auto places = read_column<std::int32_t>(folder() / "where" / "neighbors.h5", "index");
  const Found neighbors = read_neighbors(folder() / "where");
  for (std::size_t i = 0; i < places.size(); ++i)
    EXPECT_GE(Description(neighbors.ids[i]).year(), 2010);
  EXPECT_NE(std::count(places.begin(), places.end(), 0), 0);
  EXPECT_NE(std::count(places.begin(), places.end(), 1), 0);
  std::int64_t passing = 0;
  for (const std::int64_t count : {kFirst, kCount - kFirst})
    for (std::int64_t row = 0; row < count; ++row)
      passing += Description(row).is_known() && Description(row).year() >= 2010;
  EXPECT_EQ(found["where_passing"], passing);
}

TEST_F(SetSearch, NamesAreThoseOfEachIndex) {
  for (const char* second : {"second_l2", "plain_l2"}) {
    search(2, "named", {"first_l2", second}, kExact);
    const auto places = read_column<std::int32_t>(folder() / "named" / "neighbors.h5", "index");
    const Found found = read_neighbors(folder() / "named");
    std::istringstream lines(read_text(folder() / "named" / "external_ids.jsonl"));
    std::size_t at = 0;
    for (std::string line; std::getline(lines, line);)
      for (const auto& name : nlohmann::json::parse(line)) {
        const bool named = places[at] == 0 || second == std::string("second_l2");
        EXPECT_EQ(name,
                  named ? nlohmann::json(Description(found.ids[at]).doc()) : nlohmann::json());
        ++at;
      }
    EXPECT_EQ(at, found.ids.size());
  }
  search(2, "numbers", {"plain_l2", "numbered_l2"}, kExact);
  const auto file = folder() / "numbers" / "neighbors.h5";
  const auto places = read_column<std::int32_t>(file, "index");
  const auto numbers = read_column<std::int64_t>(file, "external_ids");
  const Found found = read_neighbors(folder() / "numbers");
  for (std::size_t i = 0; i < numbers.size(); ++i)
    EXPECT_EQ(numbers[i], places[i] == 1 ? Description(found.ids[i]).number() : -1);
}

TEST_F(SetSearch, IndexesThatDoNotGoTogetherAreRefusedByName) {
  const auto expect_error = [](const std::vector<std::string>& indexes, int code,
                               const std::string& text, const std::string& more = "") {
    const auto done = try_search(2, "mistake", indexes, more);
    EXPECT_EQ(done.exit_code, code) << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << done.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
  };
  expect_error({"first_l2", "narrow_l2"}, 64, "narrow_l2");
  expect_error({"first_l2", "narrow_l2"}, 64, "7 dimensions");
  expect_error({"first_l2", "first_cosine"}, 64, "its metric is cosine");
  expect_error({"first_l2", "numbered_l2"}, 64, "numbered_l2");
  expect_error({"first_l2", "missing"}, 64, "missing");
  expect_error({}, 64, "index");
  expect_error({"first_l2", "second_l2"}, 64, "search.evaluate", "--evaluate");
  expect_error({"first_l2", "second_l2"}, 64, "dataset", "--set dataset=somewhere");
  expect_error({"first_l2", "plain_l2"}, 65, "plain_l2", "--where 'year >= 2010'");
}

}  // namespace
}  // namespace tutti
