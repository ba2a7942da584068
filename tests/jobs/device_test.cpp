// Jobs with device = "cuda", on the fake GPU (tests/fake_cuda), which the environment describes.
#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

class DeviceJobs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("device_test");
    testing::write_corpus(folder() / "corpus.jsonl", 60);
    testing::write_text(folder() / "data.toml", "shards = 2\n[input]\npaths = [\"" +
                                                    (folder() / "corpus.jsonl").string() +
                                                    "\"]\n[tokenizer]\nvocabulary = 300\n");
    const auto sharded = testing::run_tutti(1, "shard " + (folder() / "data.toml").string());
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    testing::write_text(folder() / "train.toml",
                        "device = \"cuda\"\ndataset = \"" + (folder() / "data").string() + "\"\n");
  }
  static void TearDownTestSuite() { delete scratch_; }
  static const std::filesystem::path& folder() { return scratch_->path(); }

  static testing::CommandResult run(const std::string& environment, int ranks,
                                    const std::string& arguments) {
    return testing::run_command(environment + " " + testing::tutti_command(ranks, arguments));
  }
  // With the fake GPU, the environment saying how it is.
  static testing::CommandResult run_on_fake(const std::string& environment, int ranks,
                                            const std::string& arguments) {
    return run("TUTTI_CUDA_LIBRARY=" TUTTI_FAKE_CUDA " " + environment, ranks, arguments);
  }
  static std::string train(const std::string& run) {
    return "train " + (folder() / "train.toml").string() + " --run " + (folder() / run).string() +
           " ";
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* DeviceJobs::scratch_ = nullptr;

// Once, with exit code 69.
void expect_unavailable(const testing::CommandResult& done, const std::string& text) {
  EXPECT_EQ(done.exit_code, 69) << done.output;
  EXPECT_NE(done.output.find(text), std::string::npos) << text << "\n" << done.output;
  const std::size_t first = done.output.find("tutti: error");
  EXPECT_EQ(done.output.find("tutti: error", first + 1), std::string::npos) << done.output;
}

TEST_F(DeviceJobs, WhatIsMissingIsSaid) {
  const std::string job = train("missing");
  expect_unavailable(run("TUTTI_CUDA_LIBRARY=/nonexistent/libtutti_cuda.so", 2, job), "cuda");
  expect_unavailable(run("TUTTI_CUDA_LIBRARY=" + (folder() / "train.toml").string(), 1, job),
                     "cannot be opened");
  expect_unavailable(run_on_fake("FAKE_CUDA_DRIVER=0", 2, job), "no NVIDIA driver");
  expect_unavailable(run_on_fake("FAKE_CUDA_DRIVER=12040", 2, job), "driver is for CUDA 12.4");
  expect_unavailable(run_on_fake("FAKE_CUDA_DEVICES=0", 2, job), "no GPU");
}

TEST_F(DeviceJobs, EveryRankHasAGpuOfItsOwnAndAllAreOfOneModel) {
  expect_unavailable(run_on_fake("FAKE_CUDA_DEVICES=1", 2, train("shared")),
                     "ranks 0 and 1 would share a GPU");
  expect_unavailable(run_on_fake("FAKE_CUDA_DEVICES=H100,H200", 2, train("mixed")),
                     "rank 0 has a H100, rank 1 a H200");
}

TEST_F(DeviceJobs, JobsOfCpusAloneSaySo) {
  expect_unavailable(run_on_fake("", 1,
                                 "shard " + (folder() / "data.toml").string() + " --run " +
                                     (folder() / "again").string() + " --set device=cuda"),
                     "runs on CPUs alone");
}

TEST_F(DeviceJobs, VersionTellsOfCudaAsFound) {
  const auto told =
      run_on_fake("FAKE_CUDA_DEVICES=H200 FAKE_CUDA_MEMORY=141000000000", 1, "--version");
  EXPECT_EQ(told.exit_code, 0);
  EXPECT_NE(told.output.find("H200 with 141 GB"), std::string::npos) << told.output;
}

}  // namespace
}  // namespace tutti
