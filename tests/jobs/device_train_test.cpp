// Training with device = "cuda" on the fake GPU (tests/fake_cuda): the CPU's losses, and the same
// bytes on any number of GPUs, killed or not.
#include <cstdlib>
#include <sstream>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/paths.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/killed_run.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;

class DeviceTrain : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("device_train_test");
    testing::write_corpus(folder() / "corpus.jsonl", 80);
    testing::write_text(folder() / "data.toml",
                        "shards = 3\n[input]\npaths = [\"" + (folder() / "corpus.jsonl").string() +
                            "\"]\n[tokenizer]\nvocabulary = 300\n[split]\nheldout = 0.2\n");
    const auto sharded = run_tutti(2, "shard " + (folder() / "data.toml").string());
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    testing::write_text(
        folder() / "train.toml",
        "device = \"cuda\"\ndataset = \"" + (folder() / "data").string() +
            "\"\n[model]\nkind = \"gpt2\"\nwidth = 32\nlayers = 2\nheads = 2\nfeed_forward = 64\n"
            "max_tokens = 24\n[batch]\nglobal = 6\nmicro = 2\n[train]\nsteps = 6\n"
            "dtype = \"f32\"\n[evaluate]\nsequences = 2\n"
            "[optimizer]\nwarmup_steps = 2\nlearning_rate = 0.005\n"
            "[checkpoint]\nevery = \"100ms\"\n");
    setenv("TUTTI_CUDA_LIBRARY", TUTTI_FAKE_CUDA, 1);
    setenv("FAKE_CUDA_DEVICES", "4", 1);
  }
  static void TearDownTestSuite() {
    unsetenv("TUTTI_CUDA_LIBRARY");
    unsetenv("FAKE_CUDA_DEVICES");
    delete scratch_;
  }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "train " + (folder() / "train.toml").string() + " --run " + (folder() / run).string() +
           " " + more;
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / kResultFile));
  }
  static std::string digest_of(int ranks, const std::string& run, const std::string& more = "") {
    const auto done = run_tutti(ranks, arguments(run, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return done.exit_code == 0 ? result_of(run)["model_digest"].get<std::string>() : "failed";
  }
  static std::vector<double> losses_of(const std::string& run) {
    std::vector<double> losses;
    std::istringstream lines(read_text(folder() / run / kEventsFile));
    for (std::string line; std::getline(lines, line);)
      if (const auto event = nlohmann::json::parse(line); event["event"] == "step")
        losses.push_back(event["loss"]);
    return losses;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* DeviceTrain::scratch_ = nullptr;

TEST_F(DeviceTrain, FollowsTheCpusLosses) {
  for (const char* kind : {"gpt2", "llama"}) {
    const std::string shape = std::string("--set train.steps=10 --set model.kind=") + kind;
    (void)digest_of(1, std::string("cpu_") + kind, shape + " --set device=cpu");
    (void)digest_of(1, std::string("gpu_") + kind, shape);
    const auto cpu = losses_of(std::string("cpu_") + kind),
               gpu = losses_of(std::string("gpu_") + kind);
    ASSERT_EQ(cpu.size(), 10u);
    ASSERT_EQ(gpu.size(), 10u);
    for (std::size_t i = 0; i < 10; ++i) EXPECT_NEAR(gpu[i], cpu[i], 1e-4 * cpu[i]) << "step " << i;
    EXPECT_LT(gpu[9], gpu[0]);
  }
}

TEST_F(DeviceTrain, TheSameModelOnAnyNumberOfGpusKilledOrNot) {
  const std::string more = "--set optimizer.ema=0.9 --set train.recompute=true",
                    digest = digest_of(1, "one", more);
  for (const int ranks : {2, 3, 4})
    EXPECT_EQ(digest_of(ranks, "ranks" + std::to_string(ranks), more), digest) << ranks;
  const auto done =
      testing::run_with_kills(arguments("killed", more + " --set checkpoint.every=10ms"),
                              folder() / "killed", {2, 4, 1}, 4);
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_GE(done.restores, 1);
  EXPECT_EQ(result_of("killed")["model_digest"], digest);
}

TEST_F(DeviceTrain, TheSameModelInBf16) {
  const std::string more = "--set train.dtype=bf16 --set train.steps=3",
                    digest = digest_of(1, "narrow", more);
  EXPECT_EQ(digest_of(2, "narrow2", more), digest);
}

TEST_F(DeviceTrain, RanksInTheTransportsOrderComeNear) {
  (void)digest_of(1, "exact", "");
  (void)digest_of(3, "fast", "--set train.reduce=fast");
  const auto exact = losses_of("exact"), fast = losses_of("fast");
  ASSERT_EQ(exact.size(), fast.size());
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(fast[i], exact[i], 2e-2 * exact[i]);
}

TEST_F(DeviceTrain, AGpuThatIsFullIsToldOf) {
  setenv("FAKE_CUDA_MEMORY", "700000", 1);
  const auto full = run_tutti(2, arguments("full"));
  unsetenv("FAKE_CUDA_MEMORY");
  EXPECT_EQ(full.exit_code, 69) << full.output;
  EXPECT_NE(full.output.find("more are needed"), std::string::npos) << full.output;
}

TEST_F(DeviceTrain, AGpuThatGoesLeavesTheLastCheckpoint) {
  const std::string more = "--set checkpoint.every=1ms", digest = digest_of(1, "stays", more);
  setenv("FAKE_CUDA_LOST", "100", 1);
  const auto lost = run_tutti(1, arguments("lost", more));
  unsetenv("FAKE_CUDA_LOST");
  EXPECT_EQ(lost.exit_code, 74) << lost.output;
  EXPECT_NE(lost.output.find("cudaMemcpyAsync"), std::string::npos) << lost.output;
  const auto done = run_tutti(2, arguments("lost", more));
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("resumed from checkpoint"), std::string::npos) << done.output;
  EXPECT_EQ(result_of("lost")["model_digest"], digest);
}

TEST_F(DeviceTrain, WhatAGpuDoesNotDoIsRefused) {
  for (const auto& [more, said] : std::vector<std::pair<std::string, std::string>>{
           {"--set model.kind=encoder", "encoders"},
           {"--set train.dropout=0.1", "dropout"},
           {"--set model.feed_forward=60", "multiples of 8"}}) {
    const auto refused = run_tutti(2, arguments("refused", more));
    EXPECT_EQ(refused.exit_code, 69) << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << refused.output;
  }
}

}  // namespace
}  // namespace tutti
