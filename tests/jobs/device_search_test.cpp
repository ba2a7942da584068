// index and search with device = "cuda", on the fake GPU: the CPU's bytes.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/core/random.h"
#include "tests/support/command.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

constexpr int kDim = 20;

void write_vectors(const std::filesystem::path& path, int count, std::uint64_t seed) {
  std::ofstream file(path, std::ios::binary);
  for (int i = 0; i < count; ++i) {
    file.write(reinterpret_cast<const char*>(&kDim), sizeof(kDim));
    for (int j = 0; j < kDim; ++j) {
      const auto x = float(random_uniform(seed, std::uint64_t(i), std::uint64_t(j)));
      file.write(reinterpret_cast<const char*>(&x), sizeof(x));
    }
  }
}

class DeviceSearch : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("device_search_test");
    write_vectors(folder() / "base.fvecs", 900, 1);
    write_vectors(folder() / "queries.fvecs", 40, 2);
    testing::write_text(folder() / "vectors.toml",
                        "[input]\npaths = [\"" + (folder() / "base.fvecs").string() + "\"]\n");
    testing::write_text(folder() / "index.toml",
                        "vectors = \"" + (folder() / "vectors").string() +
                            "\"\nindex.nlist = 12\nindex.shards = 3\nkmeans.iterations = 3\n"
                            "kmeans.block = 200\n");
    testing::write_text(folder() / "search.toml",
                        "index = \"" + (folder() / "index").string() + "\"\nquery.file = \"" +
                            (folder() / "queries.fvecs").string() +
                            "\"\nsearch.nprobe = 4\nsearch.rank_by = \"distances\"\n");
    ASSERT_EQ(run("", 1, "shard vectors", ""), 0) << output_;
    ASSERT_EQ(run("", 1, "index index", ""), 0) << output_;
  }
  static void TearDownTestSuite() { delete scratch_; }
  static const std::filesystem::path& folder() { return scratch_->path(); }

  // "JOB CONFIG", with more arguments; the exit code.
  static int run(const std::string& environment, int ranks, const std::string& job,
                 const std::string& more) {
    const std::size_t space = job.find(' ');
    const auto done = testing::run_command(
        environment + " " +
        testing::tutti_command(ranks, job.substr(0, space + 1) +
                                          (folder() / (job.substr(space + 1) + ".toml")).string() +
                                          " " + more));
    output_ = done.output;
    return done.exit_code;
  }
  static int run_on_fake(const std::string& environment, int ranks, const std::string& job,
                         const std::string& more) {
    return run("TUTTI_CUDA_LIBRARY=" TUTTI_FAKE_CUDA " FAKE_CUDA_DEVICES=2 " + environment, ranks,
               job, "--set device=cuda " + more);
  }
  static std::string in_run(const char* name) {
    return "--run " + (folder() / name).string() + " ";
  }
  static nlohmann::json result(const char* name) {
    std::ifstream file(folder() / name / "result.json");
    return nlohmann::json::parse(file);
  }
  static std::string found(const char* name) { return result(name).at("neighbors_digest"); }

  static testing::ScratchFolder* scratch_;
  static std::string output_;
};
testing::ScratchFolder* DeviceSearch::scratch_ = nullptr;
std::string DeviceSearch::output_;

TEST_F(DeviceSearch, AnIndexHasTheSameBytes) {
  std::ifstream file(folder() / "index" / "MANIFEST.json");
  const std::string expected = result("index").at("index_digest");
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(folder() / "device_index");
    ASSERT_EQ(run_on_fake("", ranks, "index index", in_run("device_index")), 0) << output_;
    EXPECT_EQ(result("device_index").at("index_digest"), expected);
  }
}

TEST_F(DeviceSearch, NeighboursAreTheSame) {
  for (const std::string& more :
       {std::string("--set search.mode=both"), std::string("--set search.mode=exact"),
        std::string("--set search.k=3 --set search.batch=16"),
        std::string("--set search.mode=both --set search.radius=1.2")}) {
    ASSERT_EQ(run("", 1, "search search", in_run("cpu") + more), 0) << output_;
    for (const int ranks : {1, 2}) {
      ASSERT_EQ(run_on_fake("", ranks, "search search", in_run("device") + more), 0) << output_;
      const char* digest =
          more.find("radius") == std::string::npos ? "neighbors_digest" : "ranges_digest";
      EXPECT_EQ(result("device").at(digest), result("cpu").at(digest)) << more;
    }
  }
}

TEST_F(DeviceSearch, WhatDoesNotFitIsReadOrCopiedPieceByPiece) {
  const std::string more = "--set search.mode=both ";
  ASSERT_EQ(run("", 1, "search search", in_run("cpu") + more), 0) << output_;
  // 900 vectors of 80 bytes, and of 128 rounded: beside a batch, they do not stay in the device.
  ASSERT_EQ(run_on_fake("FAKE_CUDA_MEMORY=205000", 1, "search search",
                        in_run("device") + more + "--set search.batch=16"),
            0)
      << output_;
  EXPECT_EQ(found("device"), found("cpu"));
  ASSERT_EQ(run_on_fake("FAKE_CUDA_MEMORY=1000", 1, "search search", in_run("device") + more), 69);
  EXPECT_NE(output_.find("are needed"), std::string::npos) << output_;
}

TEST_F(DeviceSearch, WhatCpusAloneDoIsRefused) {
  EXPECT_EQ(run_on_fake("", 1, "search search", in_run("device") + "--set search.rank_by=codes"),
            64);
  EXPECT_NE(output_.find("codes decide on CPUs alone"), std::string::npos) << output_;
  EXPECT_EQ(run_on_fake("", 1, "search search", in_run("device") + "--set search.by=graph"), 64);
}

}  // namespace
}  // namespace tutti
