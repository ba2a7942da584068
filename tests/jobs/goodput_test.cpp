// tutti goodput on runs that were killed, and on folders that are none.
#include <chrono>
#include <cmath>
#include <ctime>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::read_text;
using testing::run_tutti;

class Goodput : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("goodput_test");
    testing::write_corpus(folder() / "corpus.jsonl", 60);
    const auto sharded = run_tutti(2, shard("data"));
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static std::string shard(const std::string& run) {
    return "shard --run " + path(run) + " --set input.paths=" + path("corpus.jsonl") +
           " --set shards=3 --set tokenizer.vocabulary=300 --set passage.tokens=24";
  }
  static std::string train(const std::string& run, const std::string& more) {
    return "train --run " + path(run) + " --set dataset=" + path("data") +
           " --set model.width=16 --set model.layers=1 --set model.heads=2 --set "
           "model.feed_forward=32"
           " --set model.max_tokens=16 --set batch.global=12 --set batch.micro=2 --set threads=1 " +
           more;
  }
  static int count(const std::string& run, const std::string& event) {
    const std::string text = read_text(folder() / run / "events.jsonl"),
                      wanted = R"("event":")" + event + '"';
    int found = 0;
    for (std::size_t at = text.find(wanted); at != std::string::npos;
         at = text.find(wanted, at + 1))
      ++found;
    return found;
  }
  // Kills a start as soon as it has committed a checkpoint and done some steps beyond.
  static void start_and_kill(int ranks, const std::string& run, const std::string& arguments) {
    const int checkpoints = count(run, "checkpoint");
    testing::Process job(testing::tutti_command(ranks, arguments), path(run + ".log"));
    while (!job.ended() && count(run, "checkpoint") == checkpoints) usleep(1000);
    const int steps = count(run, "step");
    while (!job.ended() && count(run, "step") < steps + 5) usleep(1000);
    ASSERT_FALSE(job.ended()) << read_text(path(run + ".log"));
    job.kill_all();
    job.wait();
  }
  static json goodput(const std::string& run) {
    const auto told = run_tutti(1, "goodput --json " + path(run));
    EXPECT_EQ(told.exit_code, 0) << told.output;
    return json::parse(told.output, nullptr, false);
  }
  static double sum_of_parts(const json& told) {
    double sum = 0;
    for (const char* use : {"productive", "checkpoint", "lost", "waiting", "startup", "other"}) {
      EXPECT_GE(told.at(std::string(use) + "_seconds").get<double>(), 0) << use;
      sum += told.at(std::string(use) + "_seconds").get<double>();
    }
    return sum;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Goodput::scratch_ = nullptr;

TEST_F(Goodput, AccountsForEverySecondOfARunThatWasKilledTwice) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string arguments =
      train("killed", "--set train.steps=2000 --set checkpoint.every=100ms");
  start_and_kill(2, "killed", arguments);
  const json between = goodput("killed");
  EXPECT_EQ(between.at("open"), true) << between;
  EXPECT_EQ(between.at("killed"), 0) << between;
  start_and_kill(1, "killed", arguments);
  const auto done = run_tutti(3, arguments);
  ASSERT_EQ(done.exit_code, 0) << done.output;
  const double measured =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  const json told = goodput("killed");
  const double whole = told.at("whole_seconds");
  EXPECT_NEAR(sum_of_parts(told), whole, 0.001 * whole);
  // Beyond the record are the launcher's start and end, and the calls of goodput.
  EXPECT_LT(whole, measured);
  EXPECT_GT(whole, measured / 2);
  EXPECT_EQ(told.at("starts"), 3);
  EXPECT_EQ(told.at("killed"), 2);
  EXPECT_EQ(told.at("done"), 1);
  EXPECT_EQ(told.at("failures"), 2);
  EXPECT_NEAR(told.at("mean_seconds_between_failures"), told.at("run_seconds").get<double>() / 2,
              1e-3);
  EXPECT_GT(told.at("lost_seconds"), 0);
  EXPECT_GT(told.at("checkpoint_seconds"), 0);
  EXPECT_GT(told.at("startup_seconds"), 0);
  EXPECT_GT(told.at("waiting_seconds"), 0);
  EXPECT_GT(told.at("goodput"), 0);
  EXPECT_LT(told.at("goodput"), 1);
  EXPECT_EQ(told.at("lost_steps"), count("killed", "step") - 2000) << "each of which was repeated";
  EXPECT_EQ(told.at("clock_back_seconds"), 0);

  for (int ranks : {1, 2}) {
    const auto table = run_tutti(ranks, "goodput " + path("killed"));
    EXPECT_EQ(table.exit_code, 0);
    for (const char* text : {"3 starts: 1 done, 2 killed", "productive", "start-up", "whole",
                             "goodput 0.", "2 failures in", "steps lost"})
      EXPECT_NE(table.output.find(text), std::string::npos) << text << "\n" << table.output;
    EXPECT_EQ(table.output.find("goodput 0."), table.output.rfind("goodput 0.")) << "told twice";
  }
}

TEST_F(Goodput, AStopLosesNothingAndIsNoFailure) {
  const std::string arguments = train("stopped", "--set train.steps=10000000");
  const auto stopped = run_tutti(2, arguments + " --max-time 1s");
  ASSERT_EQ(stopped.exit_code, 75) << stopped.output;
  const json told = goodput("stopped");
  EXPECT_EQ(told.at("stopped"), 1);
  EXPECT_EQ(told.at("lost_seconds"), 0) << told;
  EXPECT_EQ(told.at("lost_steps"), 0);
  EXPECT_TRUE(told.at("mean_seconds_between_failures").is_null());
  EXPECT_GT(told.at("productive_seconds"), 0);
}

TEST_F(Goodput, OfAJobWithoutSteps) {
  const json told = goodput("data");
  EXPECT_NEAR(sum_of_parts(told), told.at("whole_seconds"), 1e-6);
  EXPECT_GT(told.at("productive_seconds"), 0);
  EXPECT_GT(told.at("startup_seconds"), 0);
  EXPECT_EQ(told.at("done"), 1);
}

TEST_F(Goodput, TheWaitInTheQueueCountsWhereTheBatchScriptTellsOfIt) {
  const std::string submitted = std::to_string(std::time(nullptr) - 100);
  const auto sharded = testing::run_command("TUTTI_SUBMITTED=" + submitted + " " +
                                            testing::tutti_command(1, shard("queued")));
  ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
  const json told = goodput("queued");
  EXPECT_NEAR(told.at("waiting_seconds"), 110, 10) << told;
  EXPECT_NEAR(sum_of_parts(told), told.at("whole_seconds"), 1e-6);
}

TEST_F(Goodput, AFolderThatIsNoRunIsAnError) {
  const auto expect = [](const std::string& run, int code, const std::string& said) {
    const auto refused = run_tutti(2, "goodput " + run);
    EXPECT_EQ(refused.exit_code, code) << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << refused.output;
  };
  expect("", 64, "path");
  expect(path("nothing"), 64, path("nothing"));
  expect(path("corpus.jsonl"), 65, "events.jsonl");
  std::filesystem::create_directories(folder() / "empty");
  expect(path("empty"), 65, path("empty") + "/events.jsonl");
  testing::write_text(folder() / "empty/events.jsonl", "{\"time\": 1, \"ev\n");
  expect(path("empty"), 65, "no event");
}

}  // namespace
}  // namespace tutti
