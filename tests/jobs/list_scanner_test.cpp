// A search finds the same, whether vectors and codes are in memory, codes alone, or nothing.
#include "jobs/list_scanner.h"

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "runtime/base/error.h"
#include "tests/jobs/described_vectors.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 20000, kDim = 96, kQueries = 400, kLists = 200;

class ListScannerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("list_scanner_test");
    const std::vector<float> vectors = clustered_vectors(kCount, kDim, 1);
    testing::shard_described_vectors(folder(), "vectors", vectors, kDim);
    std::vector<float> queries = clustered_vectors(kQueries, kDim, 2);
    for (std::int64_t j = 0; j < kDim; ++j) queries[std::size_t(5 * kDim + j)] *= 40;  // an outlier
    testing::write_fvecs(folder() / "queries.fvecs", queries, kDim);
    testing::write_fvecs(folder() / "many.fvecs", clustered_vectors(20000, kDim, 3), kDim);
    build("l2", "");
    build("cosine", "--set index.metric=cosine --set index.storage=bf16");
    // Far from all others, so that codes made for those tell nothing of them.
    std::vector<float> far = clustered_vectors(60, kDim, 4);
    for (float& value : far) value *= 30;
    testing::shard_described_vectors(folder(), "far", far, kDim, "doc:string",
                                     testing::Description::kLaterRow + kCount);
    std::filesystem::copy(folder() / "l2", folder() / "changed",
                          std::filesystem::copy_options::recursive);
    expect_done(2, "update --run " + at("change") + " --set index=" + at("changed") +
                       " --set vectors=" + at("far") +
                       " --set \"update.delete_where=score < 900\"");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string at(const std::string& name) { return (folder() / name).string(); }
  static void build(const std::string& name, const std::string& more) {
    expect_done(2, "index --run " + at(name) + " --set vectors=" + at("vectors") +
                       " --set index.shards=4 --set kmeans.iterations=3 --set index.nlist=" +
                       std::to_string(kLists) + " " + more);
  }
  static void expect_done(int ranks, const std::string& arguments) {
    const auto done = run_tutti(ranks, arguments);
    ASSERT_EQ(done.exit_code, 0) << arguments << "\n" << done.output;
  }
  static std::string searching(const std::string& run, const std::string& index,
                               const std::string& more) {
    return "search --run " + at(run) + " --set index=" + at(index) + " " + more;
  }
  // Searches and returns result.json.
  static nlohmann::json search(int ranks, const std::string& index, const std::string& more) {
    expect_done(ranks, searching("found", index,
                                 "--set query.file=" + at("queries.fvecs") +
                                     " --set search.nprobe=9 --set search.batch=150 " + more));
    return nlohmann::json::parse(read_text(folder() / "found" / "result.json"), nullptr, false);
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* ListScannerTest::scratch_ = nullptr;

// So much that codes fit, and vectors do not.
std::string memory_for_codes(int ranks) {
  return "--set memory_limit=" + std::to_string(6144 / ranks) + "KiB ";
}

TEST_F(ListScannerTest, TheSameWhateverIsInMemoryOnAnyNumberOfRanks) {
  for (const std::string index : {"l2", "cosine", "changed"})
    for (const std::string where :
         {"", "--where \"year >= 2004\" --set search.where_plan=lists "}) {
      const auto one = search(1, index, where);
      EXPECT_EQ(one["in_memory"], "vectors");
      for (const int ranks : {1, 2, 4}) {
        const auto codes = search(ranks, index, where + memory_for_codes(ranks));
        EXPECT_EQ(codes["in_memory"], "codes") << index << where << ranks;
        EXPECT_EQ(codes["neighbors_digest"], one["neighbors_digest"]) << index << where << ranks;
        EXPECT_LT(codes["memory_bytes_per_vector"], one["memory_bytes_per_vector"]);
      }
      const auto nothing = search(2, index, where + "--set memory_limit=1MiB");
      EXPECT_EQ(nothing["in_memory"], "nothing") << index << where;
      EXPECT_EQ(nothing["neighbors_digest"], one["neighbors_digest"]) << index << where;
    }
}

TEST_F(ListScannerTest, TheSameByThePrefixOfTheCodes) {
  const std::string prefix = "--set search.codes=prefix ";
  const auto whole = search(1, "changed", "--set search.mode=both"),
             one = search(1, "changed", prefix + "--set search.mode=both");
  EXPECT_EQ(one["in_memory"], "vectors");
  EXPECT_EQ(one["candidates"], 60);
  EXPECT_GT(one["recall_at_k"], whole["recall_at_k"].get<double>() - 0.02);
  for (const int ranks : {1, 2, 4}) {
    const auto codes = search(ranks, "changed", prefix + memory_for_codes(ranks));
    EXPECT_EQ(codes["in_memory"], "codes") << ranks;
    EXPECT_EQ(codes["neighbors_digest"], one["neighbors_digest"]) << ranks;
  }
  const auto nothing = search(1, "changed", prefix + "--set memory_limit=1MiB");
  EXPECT_EQ(nothing["in_memory"], "nothing");
  EXPECT_EQ(nothing["neighbors_digest"], one["neighbors_digest"]);
}

TEST_F(ListScannerTest, DistancesReadTheVectorsBesideTheCodes) {
  const auto one = search(1, "l2", "--set search.mode=both");
  const auto codes = search(2, "l2", memory_for_codes(2) + "--set search.mode=both");
  EXPECT_EQ(codes["in_memory"], "codes");
  EXPECT_EQ(codes["recall_at_k"], one["recall_at_k"]);
  EXPECT_EQ(codes["neighbors_digest"], one["neighbors_digest"]);
  for (const std::string how : {"--set search.mode=exact ", "--set search.rank_by=distances "})
    EXPECT_EQ(search(2, "l2", memory_for_codes(2) + how)["neighbors_digest"],
              search(1, "l2", how)["neighbors_digest"])
        << how;
}

TEST_F(ListScannerTest, DamageIsFoundBeforeTheFirstSearch) {
  std::filesystem::copy(folder() / "l2", folder() / "damaged",
                        std::filesystem::copy_options::recursive);
  std::string bytes = read_text(folder() / "damaged" / "shard-00002.h5");
  bytes[bytes.size() / 2] ^= 1;
  testing::write_text(folder() / "damaged" / "shard-00002.h5", bytes);
  const auto done =
      run_tutti(2, searching("mistake", "damaged",
                             memory_for_codes(2) + "--set query.file=" + at("queries.fvecs")));
  EXPECT_EQ(done.exit_code, 65) << done.output;
  EXPECT_NE(done.output.find("shard-00002.h5"), std::string::npos) << done.output;
  EXPECT_EQ(done.output.find("of 400 queries"), std::string::npos) << done.output;
}

TEST_F(ListScannerTest, AShardThatIsCutOffWhileItIsSearchedEndsAllRanks) {
  std::filesystem::copy(folder() / "l2", folder() / "cut",
                        std::filesystem::copy_options::recursive);
  testing::Process job(testing::tutti_command(2, searching("cut_off", "cut",
                                                           memory_for_codes(2) +
                                                               "--set search.batch=8 "
                                                               "--set query.file=" +
                                                               at("many.fvecs"))),
                       at("cut.log"));
  for (int i = 0; i < 6000 && !job.ended() &&
                  read_text(folder() / "cut.log").find("of 20000 queries") == std::string::npos;
       ++i)
    usleep(1000);
  std::filesystem::resize_file(folder() / "cut" / "shard-00003.h5", 4096);
  EXPECT_EQ(job.wait(), 65) << read_text(folder() / "cut.log");
  EXPECT_NE(read_text(folder() / "cut.log").find("shard-00003.h5"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder() / "cut_off" / "manifest.json"));
}

TEST_F(ListScannerTest, TakesNoMoreMemoryThanItIsAllowed) {
  constexpr std::int64_t kMany = 30000, kWide = 384, kMegabyte = 1 << 20;
  testing::write_vectors<float>(folder() / "wide_vectors", clustered_vectors(kMany, kWide, 1),
                                kWide);
  testing::write_fvecs(folder() / "wide.fvecs", clustered_vectors(kQueries, kWide, 2), kWide);
  expect_done(2, "index --run " + at("wide") + " --set vectors=" + at("wide_vectors") +
                     " --set index.nlist=64 --set kmeans.iterations=2 --set kmeans.sample=4096");
  const auto searched = [&](const std::string& memory) {
    expect_done(1, searching("found", "wide",
                             "--set search.nprobe=9 --set threads=1 --set query.file=" +
                                 at("wide.fvecs") + " --set memory_limit=" + memory));
    return nlohmann::json::parse(read_text(folder() / "found" / "result.json"));
  };
  const auto vectors = searched("1GiB"), codes = searched("20MiB"), nothing = searched("4MiB");
  EXPECT_EQ(vectors["in_memory"], "vectors");
  EXPECT_EQ(codes["in_memory"], "codes");
  EXPECT_EQ(nothing["in_memory"], "nothing");
  const auto peak = [](const nlohmann::json& result) {
    return result["peak_memory_bytes"].get<std::int64_t>();
  };
  EXPECT_LT(peak(codes), peak(nothing) + 20 * kMegabyte);
  EXPECT_GT(peak(vectors), peak(codes) + 25 * kMegabyte);
  const auto held = [](const nlohmann::json& result) {
    return result["memory_bytes_per_vector"].get<double>() * double(kMany);
  };
  EXPECT_GT(held(vectors), double(kMany * kWide * 4));
  EXPECT_GT(held(codes), double(kMany * kWide));
  EXPECT_LT(held(codes), double(20 * kMegabyte));
  EXPECT_LT(held(nothing), double(5 * kMegabyte));
}

}  // namespace
}  // namespace tutti
