// Probing by codes: nearly what the distances find, and the same however it is run.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/jobs/found_neighbors.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::Found;
using testing::read_neighbors;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 6000, kDim = 40, kQueries = 300, kK = 10;

class SearchRanked : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("search_ranked_test");
    testing::write_vectors<float>(folder() / "vectors", clustered_vectors(kCount, kDim, 1), kDim);
    std::vector<float> queries = clustered_vectors(kQueries, kDim, 2);
    for (std::int64_t j = 0; j < kDim; ++j) queries[std::size_t(5 * kDim + j)] *= 40;  // an outlier
    testing::write_fvecs(folder() / "queries.fvecs", queries, kDim);
    testing::write_fvecs(folder() / "few.fvecs",
                         std::vector<float>(queries.begin(), queries.begin() + 7 * kDim), kDim);
    for (const char* metric : {"l2", "cosine", "inner_product"}) {
      const auto done = run_tutti(
          2, "index --run " + (folder() / metric).string() +
                 " --set vectors=" + (folder() / "vectors").string() +
                 " --set index.shards=4 --set kmeans.iterations=4 --set index.metric=" + metric);
      ASSERT_EQ(done.exit_code, 0) << done.output;
    }
  }
  static void TearDownTestSuite() { delete scratch_; }
  static const std::filesystem::path& folder() { return scratch_->path(); }

  static std::string arguments(const std::string& run, const std::string& metric,
                               const std::string& more) {
    return "search --run " + (folder() / run).string() +
           " --set index=" + (folder() / metric).string() + " " + more;
  }
  static std::string from(const std::string& file) {
    return "--set query.file=" + (folder() / file).string() + " ";
  }
  static Found search(int ranks, const std::string& metric, const std::string& more) {
    const auto done = run_tutti(ranks, arguments("found", metric, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return read_neighbors(folder() / "found");
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* SearchRanked::scratch_ = nullptr;

std::vector<std::int64_t> row(const std::vector<std::int64_t>& ids, std::int64_t query) {
  return {ids.begin() + query * kK, ids.begin() + (query + 1) * kK};
}

TEST_F(SearchRanked, FindsNearlyWhatTheDistancesFind) {
  for (const char* metric : {"l2", "cosine", "inner_product"}) {
    const std::string probing = from("queries.fvecs") + "--set search.nprobe=12 ";
    const Found codes = search(1, metric, probing);
    const Found distances = search(1, metric, probing + "--set search.rank_by=distances");
    std::int64_t same = 0;
    for (std::size_t i = 0; i < codes.ids.size(); ++i) {
      const auto found = row(distances.ids, std::int64_t(i) / kK);
      same += std::ranges::find(found, codes.ids[i]) != found.end();
    }
    EXPECT_GE(double(same) / double(codes.ids.size()), 0.99) << metric;
    // No code tells anything of an outlier, and all lists are all vectors.
    EXPECT_EQ(row(codes.ids, 5), row(distances.ids, 5)) << metric;
    const std::string all = from("queries.fvecs") + "--set search.nprobe=100000 ";
    EXPECT_EQ(search(1, metric, all).ids,
              search(1, metric, from("queries.fvecs") + "--set search.mode=exact").ids);
  }
}

TEST_F(SearchRanked, TheSameOnAnyNumberOfRanksInAnyMemoryAndInAnyCompany) {
  for (const char* metric : {"l2", "inner_product"}) {
    const std::string probing = "--set search.nprobe=12 ";
    const Found one = search(1, metric, from("queries.fvecs") + probing);
    for (const int ranks : {1, 2, 4})
      for (const char* memory : {"1GiB", "1MiB"}) {
        const Found found =
            search(ranks, metric, from("queries.fvecs") + probing + "--set memory_limit=" + memory);
        EXPECT_EQ(found.ids, one.ids) << ranks << " ranks, " << memory;
        EXPECT_EQ(found.distances, one.distances) << ranks << " ranks, " << memory;
      }
    // So few that it is not worth having all codes in memory.
    const Found few = search(2, metric, from("few.fvecs") + probing);
    EXPECT_TRUE(std::equal(few.ids.begin(), few.ids.end(), one.ids.begin()));
    EXPECT_TRUE(std::equal(few.distances.begin(), few.distances.end(), one.distances.begin()));
  }
}

// A batch of 2400 has no guess; later batches have that of the first, and one of 4800 that of a
// sample. The last third is like nothing that was there before.
TEST_F(SearchRanked, GuessesChangeNothing) {
  constexpr std::int64_t kMany = 4800;
  std::vector<float> queries = clustered_vectors(kMany, kDim, 3);
  for (std::int64_t i = kMany / 3 * 2 * kDim; i < kMany * kDim; ++i)
    queries[std::size_t(i)] *= 0.3F;
  for (std::int64_t j = 0; j < kDim; ++j) queries[std::size_t(2000 * kDim + j)] *= 40;
  testing::write_fvecs(folder() / "many.fvecs", queries, kDim);
  const auto limits = [&](const char* name) {
    const auto result = nlohmann::json::parse(read_text(folder() / "found" / "result.json"));
    return result.contains("limits") ? result["limits"][name].get<std::int64_t>() : 0;
  };
  for (const char* metric : {"l2", "cosine", "inner_product"}) {
    const std::string probing = from("many.fvecs") + "--set search.nprobe=12 --set search.batch=";
    const Found none = search(1, metric,
                              probing +
                                  "240 --set search.rank_by=codes "
                                  "--set memory_limit=1MiB");
    EXPECT_EQ(limits("guessed"), 0);
    for (const int ranks : {1, 2, 4})
      for (const char* batch : {"600", "2400", "4800"}) {
        const Found found = search(ranks, metric, probing + batch);
        EXPECT_GT(limits("guessed"), 0) << metric << " " << batch;
        EXPECT_EQ(found.ids, none.ids) << metric << " " << ranks << " ranks, " << batch;
        EXPECT_EQ(found.distances, none.distances) << metric << " " << ranks << " ranks, " << batch;
      }
    EXPECT_GT(limits("missed"), 0) << metric;
  }
}

TEST_F(SearchRanked, MoreCandidatesFindMore) {
  const auto result = [&] {
    return nlohmann::json::parse(read_text(folder() / "found" / "result.json"));
  };
  const std::string probing = from("queries.fvecs") + "--set search.mode=both ";
  search(1, "l2", probing + "--set search.candidates=10");
  const double fewest = result()["recall_at_k"];
  EXPECT_EQ(result()["candidates"], 10);
  search(1, "l2", probing);
  EXPECT_EQ(result()["candidates"], 16);
  EXPECT_GE(double(result()["recall_at_k"]), fewest);
}

TEST_F(SearchRanked, WhereAllAreCandidatesTheDistancesDecide) {
  const std::string probing = from("queries.fvecs") + "--set search.nprobe=12 ";
  const Found all = search(2, "l2", probing + "--set search.candidates=1000000000000");
  const Found distances = search(1, "l2", probing + "--set search.rank_by=distances");
  EXPECT_EQ(all.ids, distances.ids);
  EXPECT_EQ(all.distances, distances.distances);
}

TEST_F(SearchRanked, Mistakes) {
  for (const auto& [more, text] : std::vector<std::pair<std::string, std::string>>{
           {"--set search.candidates=5", "search.candidates"},
           {"--set search.candidates=-1", "search.candidates"},
           {"--set search.rank_by=colour", "search.rank_by"}}) {
    const auto done = run_tutti(1, arguments("mistake", "l2", from("queries.fvecs") + more));
    EXPECT_EQ(done.exit_code, 64) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << done.output;
  }
  const std::filesystem::path damaged = folder() / "damaged";
  std::filesystem::copy(folder() / "l2", damaged, std::filesystem::copy_options::recursive);
  std::string bytes = read_text(damaged / "code_space.h5");
  bytes[bytes.size() / 2] ^= 1;
  testing::write_text(damaged / "code_space.h5", bytes);
  const auto done = run_tutti(2, arguments("mistake", "damaged", from("queries.fvecs")));
  EXPECT_EQ(done.exit_code, 65) << done.output;
  EXPECT_NE(done.output.find("code_space.h5"), std::string::npos) << done.output;
}

}  // namespace
}  // namespace tutti
