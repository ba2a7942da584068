// Ranks compare about as many vectors with queries, whichever lists these look into, and find the
// same.
#include "jobs/list_shares.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/jobs/described_vectors.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::read_text;
using testing::run_tutti;

using Numbers = std::vector<std::int64_t>;
using Shares = std::vector<std::vector<ListPiece>>;

ListPiece piece(std::int64_t list, std::int64_t begin, std::int64_t end) {
  return {list, {begin, end}, end - begin};
}

// (list, first entry, entries) of each rank's pieces.
std::vector<std::vector<Numbers>> told(const Shares& shares) {
  std::vector<std::vector<Numbers>> all;
  for (const auto& share : shares) {
    all.emplace_back();
    for (const ListPiece& p : share)
      all.back().push_back({p.list, p.entries.begin, p.entries.size()});
  }
  return all;
}

TEST(BalanceScans, LeavesEvenWorkAlone) {
  const Shares even{{piece(0, 0, 640), piece(1, 640, 1280)}, {piece(2, 1280, 2560)}};
  EXPECT_EQ(told(balance_scans(even, Numbers{5, 5, 5}, nullptr)), told(even));
  EXPECT_EQ(told(balance_scans(even, Numbers{0, 0, 0}, nullptr)), told(even));
  EXPECT_EQ(told(balance_scans({}, Numbers{}, nullptr)), told({}));
}

TEST(BalanceScans, HandsTheListsOverThatAreLookedIntoMost) {
  const Shares shares{{piece(0, 0, 640), piece(1, 640, 1280)}, {piece(2, 1280, 2560)}};
  // 640 * 6 + 640 * 2 against nothing: 2560 is fair, and list 0 is more than that.
  EXPECT_EQ(told(balance_scans(shares, Numbers{6, 2, 0}, nullptr)),
            (std::vector<std::vector<Numbers>>{{{0, 0, 224}, {1, 640, 640}},
                                               {{0, 224, 416}, {2, 1280, 1280}}}));
  // Lists 0 and 1 are just what the other rank lacks.
  EXPECT_EQ(told(balance_scans({{piece(0, 0, 128), piece(1, 128, 256), piece(2, 256, 1280)}, {}},
                               Numbers{4, 4, 1}, nullptr)),
            (std::vector<std::vector<Numbers>>{{{2, 256, 1024}}, {{0, 0, 128}, {1, 128, 128}}}));
}

TEST(BalanceScans, CutsOneListForAllRanks) {
  const Shares shares{{piece(0, 0, 64)}, {piece(1, 64, 4160)}, {}, {piece(2, 4160, 4224)}};
  const Shares balanced = balance_scans(shares, Numbers{0, 10, 0}, nullptr);
  EXPECT_EQ(told(balanced), (std::vector<std::vector<Numbers>>{{{0, 0, 64}, {1, 3136, 1024}},
                                                               {{1, 64, 1024}},
                                                               {{1, 2112, 1024}},
                                                               {{1, 1088, 1024}, {2, 4160, 64}}}));
}

TEST(EntrySet, CountsAnyPartOfItsRows) {
  EntrySet set = EntrySet::all_of({100, 400});
  for (std::int64_t entry = 100; entry < 400; entry += 3) set.remove(entry);
  for (const std::int64_t begin : {100, 101, 163, 164, 165, 228, 399, 400})
    for (const std::int64_t end : {100, 163, 164, 165, 228, 300, 400}) {
      std::int64_t count = 0;
      for (std::int64_t entry = begin; entry < end; ++entry) count += set.contains(entry);
      EXPECT_EQ(set.count({begin, end}), count) << begin << " " << end;
    }
}

TEST(BalanceScans, CountsWantedEntriesAlone) {
  EntrySet wanted = EntrySet::all_of({0, 2000});
  for (std::int64_t entry = 1000; entry < 2000; entry += 2) wanted.remove(entry);
  const Shares shares{{{0, {0, 2000}, wanted.count({0, 2000})}}, {}};
  const Shares balanced = balance_scans(shares, Numbers{3}, &wanted);
  ASSERT_EQ(balanced[0].size(), 1);
  ASSERT_EQ(balanced[1].size(), 1);
  EXPECT_EQ(balanced[0][0].wanted + balanced[1][0].wanted, 1500);
  EXPECT_EQ(balanced[0][0].entries.end, balanced[1][0].entries.begin);
  for (const auto& share : balanced) {
    EXPECT_EQ(share[0].wanted, wanted.count(share[0].entries));
    EXPECT_NEAR(double(share[0].wanted), 750, 64);
  }
}

constexpr std::int64_t kCount = 20000, kDim = 32, kQueries = 4600;

class ListSharesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("list_shares_test");
    const std::vector<float> vectors = clustered_vectors(kCount, kDim, 1);
    testing::shard_described_vectors(folder(), "vectors", vectors, kDim);
    testing::write_fvecs(folder() / "even.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    // All of them around one vector.
    std::vector<float> hot;
    for (std::int64_t i = 0; i < kQueries * kDim; ++i)
      hot.push_back(vectors[std::size_t(i % kDim)] + random_normal(9, 0, std::uint64_t(i)));
    testing::write_fvecs(folder() / "hot.fvecs", hot, kDim);
    expect_done(2, "index --run " + at("index") + " --set vectors=" + at("vectors") +
                       " --set index.shards=4 --set kmeans.iterations=5 --set index.nlist=60");
    std::filesystem::copy(folder() / "index", folder() / "changed",
                          std::filesystem::copy_options::recursive);
    expect_done(2, "update --run " + at("change") + " --set index=" + at("changed") +
                       " --set \"update.delete_where=score < 900\"");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string at(const std::string& name) { return (folder() / name).string(); }
  static void expect_done(int ranks, const std::string& arguments) {
    const auto done = run_tutti(ranks, arguments);
    ASSERT_EQ(done.exit_code, 0) << arguments << "\n" << done.output;
  }
  static nlohmann::json search(int ranks, const std::string& queries, const std::string& more) {
    expect_done(ranks, "search --run " + at("found") + " --set threads=1 --set query.file=" +
                           at(queries + ".fvecs") + " --set search.nprobe=3 " + more);
    return nlohmann::json::parse(read_text(folder() / "found" / "result.json"), nullptr, false);
  }
  // What the rank with most vectors to compare has, as a multiple of the mean.
  static double most_of_mean(const nlohmann::json& result) {
    const auto compared = result["vectors_compared_by_rank"].get<Numbers>();
    return double(std::ranges::max(compared)) * double(compared.size()) /
           double(std::reduce(compared.begin(), compared.end()));
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* ListSharesTest::scratch_ = nullptr;

TEST_F(ListSharesTest, WorkIsEvenAndTheNeighboursAreTheSameWhateverIsAsked) {
  for (const std::string& more :
       {"--set index=" + at("index"), "--set index=" + at("changed"),
        "--set search.where_plan=lists --set \"search.where=year >= 2004\" --set index=" +
            at("changed"),
        "--set search.rank_by=distances --set index=" + at("index"),
        "--set memory_limit=1MiB --set index=" + at("index")})
    for (const char* queries : {"even", "hot"}) {
      const nlohmann::json one = search(1, queries, more);
      ASSERT_EQ(one["vectors_compared_by_rank"].size(), 1);
      for (const int ranks : {2, 4}) {
        const nlohmann::json result = search(ranks, queries, more);
        EXPECT_EQ(result["neighbors_digest"], one["neighbors_digest"]) << queries << more << ranks;
        EXPECT_LT(most_of_mean(result), 1.2) << queries << more << ranks;
      }
    }
}

TEST_F(ListSharesTest, FewQueriesTellNothingOfLists) {
  testing::write_fvecs(folder() / "few.fvecs", clustered_vectors(100, kDim, 2), kDim);
  const std::string index = "--set index=" + at("index");
  EXPECT_EQ(search(4, "few", index)["neighbors_digest"],
            search(1, "few", index)["neighbors_digest"]);
}

TEST_F(ListSharesTest, SeveralIndexesAndRanges) {
  const std::string both = "--set 'index=[\"" + at("index") + "\", \"" + at("changed") + "\"]' ";
  const nlohmann::json one = search(1, "hot", both), four = search(4, "hot", both);
  EXPECT_EQ(four["neighbors_digest"], one["neighbors_digest"]);
  EXPECT_LT(most_of_mean(four), 1.2);
  const std::string range = both + "--set search.radius=5 ";
  EXPECT_EQ(search(4, "hot", range)["ranges_digest"], search(1, "hot", range)["ranges_digest"]);
}

}  // namespace
}  // namespace tutti
