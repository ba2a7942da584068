// The index job as a user starts it: the same bytes on any number of ranks, killed or not.
#include <cmath>
#include <limits>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "jobs/list_builder.h"
#include "runtime/data/dataset.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/killed_run.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::read_text;
using testing::run_tutti;
using testing::write_vectors;

constexpr std::int64_t kCount = 3000, kDim = 20;

TEST(BalanceLists, SharesEntriesOutByWholeLists) {
  using Ranges = std::vector<Range>;
  EXPECT_EQ(balance_lists(std::vector<std::int64_t>{5, 5, 5, 5}, 2), (Ranges{{0, 2}, {2, 4}}));
  EXPECT_EQ(balance_lists(std::vector<std::int64_t>{9, 1, 1, 1}, 2), (Ranges{{0, 1}, {1, 4}}));
  EXPECT_EQ(balance_lists(std::vector<std::int64_t>{0, 0, 7}, 3), (Ranges{{0, 3}, {3, 3}, {3, 3}}));
  EXPECT_EQ(balance_lists(std::vector<std::int64_t>{4}, 1), (Ranges{{0, 1}}));
}

class Index : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("index_test");
    write_vectors<float>(folder() / "vectors", clustered_vectors(kCount, kDim, 1), kDim);
    testing::write_text(folder() / "index.toml",
                        "threads = 1\nvectors = \"" + (folder() / "vectors").string() +
                            "\"\n[index]\nnlist = 37\nshards = 5\n[kmeans]\niterations = 30\n"
                            "block = 256\n[checkpoint]\nevery = \"10ms\"\n");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "index " + (folder() / "index.toml").string() + " --run " + (folder() / run).string() +
           " " + more;
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "result.json"));
  }
  // Runs undisturbed and returns the digest.
  static std::string digest_of(int ranks, const std::string& run, const std::string& more = "") {
    const auto done = run_tutti(ranks, arguments(run, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return done.exit_code == 0 ? result_of(run)["index_digest"].get<std::string>() : "failed";
  }
  static std::string undisturbed_digest() {
    static const std::string digest = digest_of(1, "undisturbed");
    return digest;
  }
  static void expect_error(int ranks, const std::string& more, int code, const std::string& text) {
    const auto done = run_tutti(ranks, arguments("mistake", more));
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << more << "\n" << done.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Index::scratch_ = nullptr;

TEST_F(Index, TheSameBytesOnAnyNumberOfRanks) {
  for (int ranks : {2, 3, 4}) {
    const std::string run = "ranks" + std::to_string(ranks);
    EXPECT_EQ(digest_of(ranks, run, ranks == 2 ? "--set threads=2" : ""), undisturbed_digest())
        << ranks << " ranks";
    for (const char* file : {"centroids.h5", "shard-00000.h5", "shard-00004.h5"})
      EXPECT_EQ(read_text(folder() / run / file), read_text(folder() / "undisturbed" / file))
          << file;
  }
}

TEST_F(Index, MoreRanksThanShardsAndBlocksIsFine) {
  const std::string one = digest_of(1, "few1", "--set kmeans.block=2000 --set index.shards=2");
  EXPECT_EQ(digest_of(5, "few5", "--set kmeans.block=2000 --set index.shards=2"), one);
}

TEST_F(Index, LittleMemoryTakesMoreRoundsToTheSameBytes) {
  write_vectors<float>(folder() / "wide", clustered_vectors(2000, 200, 5), 200);  // 1.6 MB
  const std::string wide =
      "--set vectors=" + (folder() / "wide").string() + " --set kmeans.iterations=2 ";
  const std::string digest = digest_of(1, "roomy", wide);
  EXPECT_EQ(digest_of(1, "tight1", wide + "--set memory_limit=1MiB"), digest);
  EXPECT_EQ(digest_of(3, "tight3", wide + "--set memory_limit=1MiB"), digest);
}

TEST_F(Index, EveryVectorIsInTheListOfItsNearestCentroid) {
  undisturbed_digest();
  const Dataset index = Dataset::open(folder() / "undisturbed", kIndexKind);
  EXPECT_EQ(index.rows("lists"), 37);
  ASSERT_EQ(index.rows("entries"), kCount);
  const std::vector<float> all = clustered_vectors(kCount, kDim, 1);
  const FileRecord* record = index.manifest().find_file("centroids.h5");
  ASSERT_NE(record, nullptr);
  std::vector<float> centroids(37 * kDim);
  ExtentReader(folder() / "undisturbed" / "centroids.h5", *record).read(0, 0, std::span(centroids));
  const auto square = [&](const float* a, const float* b) {
    double sum = 0;
    for (std::int64_t j = 0; j < kDim; ++j) sum += double(a[j] - b[j]) * double(a[j] - b[j]);
    return sum;
  };
  std::set<std::int64_t> seen;
  for (std::int64_t shard = 0; shard < 5; ++shard) {
    const Range lists = index.shard_rows("lists", shard),
                entries = index.shard_rows("entries", shard);
    for (std::int64_t list = lists.begin; list < lists.end; ++list) {
      std::int64_t first = 0, count = 0;
      index.read(index.column("lists", "first_entry"), list, 1, std::span(&first, 1));
      index.read(index.column("lists", "entries"), list, 1, std::span(&count, 1));
      std::vector<std::int64_t> ids(std::size_t(count), 0);
      std::vector<float> vectors(std::size_t(count * kDim));
      index.read(index.column("entries", "id"), entries.begin + first, count, std::span(ids));
      index.read(index.column("entries", "vector"), entries.begin + first, count,
                 std::span(vectors));
      EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
      for (std::int64_t i = 0; i < count; ++i) {
        const float* vector = &vectors[std::size_t(i * kDim)];
        seen.insert(ids[std::size_t(i)]);
        EXPECT_TRUE(
            std::equal(vector, vector + kDim, &all[std::size_t(ids[std::size_t(i)] / 10 * kDim)]));
        const double mine = square(vector, &centroids[std::size_t(list * kDim)]);
        for (std::int64_t c = 0; c < 37; ++c)
          EXPECT_LE(mine, square(vector, &centroids[std::size_t(c * kDim)]) * 1.0001);
      }
    }
  }
  EXPECT_EQ(seen.size(), std::size_t(kCount));
}

TEST_F(Index, KilledAtRandomMomentsOnChangingRanks) {
  const std::string longer = "--set kmeans.iterations=200 ";
  const std::string digest = digest_of(1, "longer", longer);
  const auto done =
      testing::run_with_kills(arguments("killed", longer + "--set checkpoint.every=5ms"),
                              folder() / "killed", {2, 1, 4, 3}, 10);
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(done.kills, 10);
  EXPECT_GE(done.restores, 1);
  EXPECT_EQ(result_of("killed")["index_digest"], digest);
}

TEST_F(Index, ASignalEndsWithACheckpointAndCode75) {
  const std::string more = "--set kmeans.iterations=100000";
  testing::Process job(testing::tutti_command(2, arguments("signal", more)),
                       (folder() / "signal.log").string());
  for (int i = 0; i < 2000 && read_text(folder() / "signal/events.jsonl").find("\"kmeans\"") ==
                                  std::string::npos;
       ++i)
    usleep(10000);
  job.signal_ranks(SIGUSR2);
  EXPECT_EQ(job.wait(), 75) << read_text(folder() / "signal.log");
  const auto again = run_tutti(3, arguments("signal", more + " --max-time 0.1s"));
  EXPECT_EQ(again.exit_code, 75) << again.output;
  EXPECT_NE(again.output.find("resumed from checkpoint"), std::string::npos) << again.output;
}

TEST_F(Index, BrainFloatStorageAndCosineAreTheSameBytesToo) {
  for (const char* more : {"--set index.storage=bf16", "--set index.metric=cosine",
                           "--set index.metric=inner_product", "--set kmeans.sample=700"}) {
    const std::string name = std::string("kind") + std::to_string(std::hash<std::string>()(more));
    const std::string one = digest_of(1, name + "_1", more);
    EXPECT_EQ(digest_of(3, name + "_3", more), one) << more;
    EXPECT_NE(one, undisturbed_digest()) << more;
  }
}

// Vectors of unlike density: each of 30 places has more than the one before, and nearer together.
std::vector<float> uneven_vectors() {
  std::vector<float> values;
  for (std::uint64_t i = 0; i < std::uint64_t(kCount); ++i) {
    const auto place = std::uint64_t(std::sqrt(double(random_u64(5, 0, i) % 900)));
    for (std::uint64_t j = 0; j < std::uint64_t(kDim); ++j)
      values.push_back(float(6 * random_normal(5, 1, place * kDim + j) +
                             (3 - double(place) / 10) * random_normal(5, 2, i * kDim + j)));
  }
  return values;
}

TEST_F(Index, BalancedListsAreTheSameBytesOnAnyNumberOfRanksKilledOrNot) {
  write_vectors<float>(folder() / "uneven", uneven_vectors(), kDim);
  const std::string uneven = "--set index.nlist=60 --set vectors=" + (folder() / "uneven").string();
  for (const std::string levels : {"1", "2"}) {
    const std::string more = uneven + " --set kmeans.levels=" + levels + " ",
                      name = "uneven" + levels;
    const std::string usual = digest_of(1, name, more);
    EXPECT_EQ(digest_of(2, name + "_2", more + "--set kmeans.balance=2"), usual);
    EXPECT_EQ(digest_of(4, name + "_4", more), usual);
    EXPECT_NE(digest_of(2, name + "_0", more + "--set kmeans.balance=0"), usual);
    EXPECT_LT(result_of(name)["list_imbalance"], result_of(name + "_0")["list_imbalance"]);
    EXPECT_LT(result_of(name)["list_size_max"], result_of(name + "_0")["list_size_max"]);
    const auto done =
        testing::run_with_kills(arguments(name + "_killed", more + "--set checkpoint.every=5ms"),
                                folder() / (name + "_killed"), {2, 1, 4, 3}, 3);
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(result_of(name + "_killed")["index_digest"], usual);
  }
}

TEST_F(Index, TrainsOn256VectorsOfEachListUnlessToldOtherwise) {
  const std::string few = "--set index.nlist=3 --set kmeans.iterations=2 --set kmeans.sample=";
  const std::string usual = digest_of(2, "sample", few + "0");
  EXPECT_EQ(digest_of(1, "sample768", few + "768"), usual);
  const std::string all = digest_of(1, "sample_all", few + "1000000000000");
  EXPECT_EQ(digest_of(2, "sample3000", few + "3000"), all);
  EXPECT_NE(all, usual);
}

TEST_F(Index, BytesAreIndexedAsTheyAre) {
  std::vector<std::uint8_t> bytes;
  for (std::uint64_t i = 0; i < 500 * 16; ++i) bytes.push_back(std::uint8_t(random_u64(3, 0, i)));
  write_vectors<std::uint8_t>(folder() / "bytes", bytes, 16);
  const std::string more = "--set index.nlist=0 --set vectors=" + (folder() / "bytes").string();
  EXPECT_EQ(digest_of(2, "bytes2", more), digest_of(1, "bytes1", more));
  const auto result = result_of("bytes1");
  EXPECT_EQ(result["nlist"], 89);  // 4 * sqrt(500)
  EXPECT_EQ(result["vectors"], 500);
  EXPECT_GE(result["list_imbalance"], 1);
  EXPECT_LE(result["list_imbalance"],
            result["list_size_max"].get<double>() / result["list_size_mean"].get<double>());
}

TEST_F(Index, FewerVectorsThanShardsAndOneVector) {
  write_vectors<float>(folder() / "one", std::vector<float>{1, 2, 3}, 3, nlohmann::json::object(),
                       1);
  const std::string more = "--set index.nlist=0 --set vectors=" + (folder() / "one").string();
  EXPECT_EQ(digest_of(3, "one3", more), digest_of(1, "one1", more));
  EXPECT_EQ(result_of("one1")["nlist"], 1);
}

TEST_F(Index, BadVectorsAreNamedOrSkipped) {
  std::vector<float> values = clustered_vectors(300, 8, 4);
  values[150 * 8 + 3] =
      std::numeric_limits<float>::quiet_NaN();  // row 50 of the second of three shards
  std::fill_n(values.begin() + 7 * 8, 8, 0.0f);
  write_vectors<float>(folder() / "bad", values, 8, {{"metric", "cosine"}});
  const std::string bad = "--set index.nlist=5 --set vectors=" + (folder() / "bad").string();
  expect_error(2, bad, 65, "shard-00000.h5, row 7 ");
  expect_error(2, bad + " --set index.metric=l2", 65, "shard-00001.h5, row 50 ");
  const std::string skip = bad + " --set on_bad_record=skip";
  EXPECT_EQ(digest_of(3, "skip3", skip), digest_of(1, "skip1", skip));
  EXPECT_EQ(result_of("skip1")["vectors_skipped"], 2);
  EXPECT_EQ(result_of("skip1")["vectors"], 298);
  // Pieces of the sample in which no vector is left.
  const std::string pieces = skip + " --set kmeans.block=1";
  EXPECT_EQ(digest_of(3, "pieces3", pieces), digest_of(1, "pieces1", pieces));
}

TEST_F(Index, MistakesEndWithTheirCodeAndSayWhatToDo) {
  write_vectors<float>(folder() / "none", std::vector<float>{}, 4);
  expect_error(2, "--set vectors=" + (folder() / "none").string(), 65, "no vectors");
  expect_error(2, "--set index.nlist=3001", 64, "index.nlist");
  expect_error(2, "--set index.nlist=30 --set kmeans.sample=20", 64, "kmeans.sample");
  for (const char* wrong : {"0.5", "-2", "nan", "1e7"})
    expect_error(2, std::string("--set kmeans.balance=") + wrong, 64, "kmeans.balance");
  expect_error(2, "--set vectors=/nonexistent", 64, "/nonexistent");
  expect_error(2, "--set index.storage=f16", 64, "index.storage");
  expect_error(2, "--set index.nlits=4", 64, "index.nlist");
  expect_error(1, "--set memory_limit=1KiB", 64, "memory_limit");
}

TEST_F(Index, AnotherConfigurationDoesNotGoOnFromACheckpoint) {
  digest_of(1, "changed", "--set kmeans.iterations=2");
  const auto done =
      run_tutti(2, arguments("changed", "--set kmeans.iterations=2 --set kmeans.seed=9"));
  EXPECT_EQ(done.exit_code, 64) << done.output;
  EXPECT_NE(done.output.find("kmeans.seed"), std::string::npos) << done.output;
}

TEST_F(Index, ADamagedShardOfVectorsIsNamed) {
  std::filesystem::copy(folder() / "vectors", folder() / "damaged");
  std::string bytes = read_text(folder() / "damaged" / "shard-00001.h5");
  bytes[bytes.size() / 2] ^= 1;
  testing::write_text(folder() / "damaged" / "shard-00001.h5", bytes);
  expect_error(2, "--set vectors=" + (folder() / "damaged").string(), 65, "shard-00001.h5");
}

TEST_F(Index, ADryRunWritesNothing) {
  const auto done = run_tutti(2, arguments("dry", "--dry-run"));
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "dry"));
}

}  // namespace
}  // namespace tutti
