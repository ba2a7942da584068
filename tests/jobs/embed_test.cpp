// The embed job as a user starts it: the same vectors on any number of ranks, killed or stopped.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/killed_run.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;

class Embed : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("embed_test");
    testing::write_corpus(folder() / "corpus.jsonl", 200);
    expect_done("shard --run " + path("data") + " --set input.paths=" + path("corpus.jsonl") +
                " --set shards=12 --set tokenizer.vocabulary=400 --set passage.tokens=24");
    expect_done("train --run " + path("model") + " --set dataset=" + path("data") +
                " --set model.width=128 --set model.layers=2 --set model.heads=4 --set "
                "model.feed_forward=512 --set model.max_tokens=32 --set batch.global=8 --set "
                "batch.micro=8 --set train.steps=1 --set evaluate.k=0");
    expect_done(arguments("undisturbed"));
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static void expect_done(const std::string& command) {
    const auto done = run_tutti(1, command + " --set threads=1");
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static std::string arguments(const std::string& run) {
    return "embed --run " + path(run) + " --set dataset=" + path("data") +
           " --set model=" + path("model") + " --set threads=1 --set embed.block=16";
  }
  static nlohmann::json digest_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "result.json"))["vectors_digest"];
  }
  // Whether a shard is done and another is not.
  static bool half_done(const std::string& run) {
    int records = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / run, ignored))
      records += entry.path().filename().string().starts_with("shard-") &&
                 entry.path().extension() == ".json";
    return records > 0;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Embed::scratch_ = nullptr;

TEST_F(Embed, TheSameVectorsOnAnyNumberOfRanks) {
  for (int ranks : {2, 5}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const auto done = run_tutti(ranks, arguments(run));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(digest_of(run), digest_of("undisturbed"));
  }
}

TEST_F(Embed, KilledOrStoppedItGoesOnBehindItsLastShard) {
  for (const int signal_number : {SIGKILL, SIGUSR2}) {
    const std::string run = "signal" + std::to_string(signal_number);
    testing::Process job(testing::tutti_command(2, arguments(run)), path(run + ".log"));
    while (!job.ended() && !half_done(run)) usleep(1000);
    if (signal_number == SIGKILL)
      job.kill_all();
    else
      job.signal_ranks(signal_number);
    const int code = job.wait();
    if (signal_number == SIGUSR2) {
      EXPECT_EQ(code, 75) << read_text(path(run + ".log"));
    }
    const auto done = run_tutti(3, arguments(run));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_NE(done.output.find("shards are finished already"), std::string::npos) << done.output;
    EXPECT_EQ(digest_of(run), digest_of("undisturbed"));
    EXPECT_FALSE(half_done(run)) << "records are left behind";
  }
}

TEST_F(Embed, ShardsOfAnotherConfigurationAreMadeAgain) {
  testing::Process job(testing::tutti_command(1, arguments("changed")), path("changed.log"));
  while (!job.ended() && !half_done("changed")) usleep(1000);
  job.kill_all();
  job.wait();
  const auto done = run_tutti(1, arguments("changed") + " --set embed.dtype=f32");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(done.output.find("finished already"), std::string::npos) << done.output;
}

}  // namespace
}  // namespace tutti
