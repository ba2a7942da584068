// What may happen to a run between and during its starts, as a user meets it: another job on its
// folder, clocks, moves and copies, other versions and models, disks that are full, read-only or
// without direct I/O.
#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "runtime/io/sealed_json.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/kill_moment.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::CommandResult;
using testing::count;
using testing::Process;
using testing::read_text;
using testing::run_command;
using testing::run_tutti;
using testing::tutti_command;
using testing::write_text;

class JobFault : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("job_fault_test");
    for (const auto& [name, documents] : {std::pair("data", 60), std::pair("others", 40)}) {
      testing::write_corpus(folder() / "corpus.jsonl", documents);
      const auto sharded =
          run_tutti(1, "shard --run " + (folder() / name).string() +
                           " --set input.paths=" + (folder() / "corpus.jsonl").string() +
                           " --set shards=3 --set tokenizer.vocabulary=300"
                           " --set passage.tokens=24");
      ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    }
    ASSERT_EQ(run_tutti(1, train("undisturbed")).exit_code, 0);
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::filesystem::path at(const std::string& name) { return folder() / name; }
  static std::string train(const std::string& run, const std::string& more = "") {
    return "train --run " + at(run).string() + " --set dataset=" + at("data").string() +
           " --set model.width=16 --set model.layers=1 --set model.heads=2"
           " --set model.feed_forward=32 --set model.max_tokens=16 --set batch.global=12"
           " --set batch.micro=2 --set train.steps=300 --set threads=1" +
           " --set checkpoint.every=5ms " + more;
  }
  static std::string digest_of(const std::string& run) {
    return nlohmann::json::parse(read_text(at(run) / "result.json"))["model_digest"];
  }
  // Starts a run, and stops it when it has some checkpoints.
  static void stop_early(const std::string& run, const std::string& more = "") {
    const auto log = at(run + ".log").string();
    Process job(tutti_command(2, train(run, more)), log);
    wait_for_events(job, run, R"("event":"checkpoint")", 3);
    job.signal_ranks(SIGUSR2);
    ASSERT_EQ(job.wait(), 75) << read_text(log);
    ASSERT_GE(generations(run).size(), 2u);
  }
  static void wait_for_events(Process& job, const std::string& run, const std::string& word,
                              int times) {
    while (!job.ended() && count(read_text(at(run) / "events.jsonl"), word) < times) usleep(1000);
  }
  // The generations' folders, the newest last.
  static std::vector<std::filesystem::path> generations(const std::string& run) {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(at(run) / "checkpoints"))
      if (entry.is_directory()) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
  }
  static std::string resumed_from(const std::filesystem::path& generation) {
    const std::string name = generation.filename().string();
    return "resumed from checkpoint generation " +
           std::to_string(std::stol(name.substr(name.find('-') + 1))) + " ";
  }
  // Starts the run again, which goes on from this generation, to the end.
  static void expect_goes_on(const std::string& run, const std::filesystem::path& generation,
                             const std::string& more = "") {
    const auto done = run_tutti(1, train(run, "--set checkpoint.every=1h " + more));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_NE(done.output.find(resumed_from(generation)), std::string::npos) << done.output;
    EXPECT_EQ(digest_of(run), digest_of("undisturbed"));
  }
  static void expect_refused(const CommandResult& refused, int code, const std::string& said) {
    EXPECT_EQ(refused.exit_code, code) << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << refused.output;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* JobFault::scratch_ = nullptr;

TEST_F(JobFault, ASecondJobOnARunFolderIsToldWhoHoldsIt) {
  const auto log = at("held.log").string();
  {
    Process job(tutti_command(2, train("held", "--set train.steps=10000000")), log);
    wait_for_events(job, "held", R"("event":"step")", 1);
    const std::vector<pid_t> ranks = job.ranks();
    ASSERT_EQ(ranks.size(), 2u) << read_text(log);
    const auto second = run_tutti(2, train("held"));
    expect_refused(second, 64, "another job holds this run folder");
    char host[256] = "";
    ASSERT_EQ(gethostname(host, sizeof(host) - 1), 0);
    const auto holder = [&](pid_t rank) {
      return second.output.find(std::string(host) + ", process " + std::to_string(rank)) !=
             std::string::npos;
    };
    EXPECT_TRUE(holder(ranks[0]) || holder(ranks[1])) << second.output;
    EXPECT_EQ(count(second.output, "tutti: error"), 1) << "told twice\n" << second.output;
    EXPECT_EQ(count(read_text(at("held") / "events.jsonl"), R"("event":"error")"), 0);
    EXPECT_FALSE(job.ended()) << read_text(log);
    job.kill_all();
    job.wait();
  }
  // The dead job's lock file names a process that is gone.
  EXPECT_NE(read_text(at("held") / "run.lock").find(", process "), std::string::npos);
  const auto third = run_tutti(2, train("held", "--set train.steps=10000000 --max-time 0.2s"));
  EXPECT_EQ(third.exit_code, 75) << third.output;
}

TEST_F(JobFault, ClocksThatJumpDoNotChooseGenerations) {
  stop_early("clock", "--set checkpoint.keep=3");
  const auto found = generations("clock");
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const auto& generation : found) {
    const bool newest = generation == found.back();
    for (const auto& file : std::filesystem::directory_iterator(generation))
      std::filesystem::last_write_time(file.path(),
                                       now + std::chrono::hours(24 * 365) * (newest ? -20 : 20));
  }
  // What the starts before have told is of a year to come.
  std::string events = read_text(at("clock") / "events.jsonl");
  for (std::size_t i = 0; (i = events.find(R"("time":1)", i)) != std::string::npos; ++i)
    events[i + 7] = '4';
  write_text(at("clock") / "events.jsonl", events);
  expect_goes_on("clock", found.back(),
                 "--set checkpoint.keep=1 --set checkpoint.keep_for=1h "
                 "--set checkpoint.every=auto --set checkpoint.mtbf=0s");
  EXPECT_GT(generations("clock").back(), found.back()) << "the newest is gone";
  const auto told = run_tutti(1, "goodput " + at("clock").string());
  EXPECT_EQ(told.exit_code, 0) << told.output;
}

TEST_F(JobFault, ARunIsMovedAndCopiedAndEachGoesOn) {
  stop_early("here");
  const auto newest = generations("here").back();
  std::filesystem::copy(at("here"), at("copy"), std::filesystem::copy_options::recursive);
  std::filesystem::rename(at("here"), at("there"));
  expect_goes_on("there", newest);
  expect_goes_on("copy", newest);
  EXPECT_FALSE(std::filesystem::exists(at("here")));
}

TEST_F(JobFault, ACheckpointOfANewerVersionIsRefusedAndKept) {
  stop_early("newer");
  const auto newest = generations("newer").back();
  nlohmann::json manifest = read_sealed_json(newest / "manifest.json");
  const nlohmann::json before = manifest;
  manifest["format_version"] = manifest["format_version"].get<int>() + 1;
  write_sealed_json(newest / "manifest.json", manifest);
  const auto refused = run_tutti(2, train("newer"));
  expect_refused(refused, 64, "written by a newer version of Tutti");
  expect_refused(refused, 64, "continue with that version");
  EXPECT_EQ(generations("newer").back(), newest) << "set aside";
  write_sealed_json(newest / "manifest.json", before);
  expect_goes_on("newer", newest);
}

TEST_F(JobFault, ACheckpointOfAnotherModelIsRefusedByName) {
  stop_early("model");
  const auto newest = generations("model").back();
  expect_refused(run_tutti(2, train("model", "--set model.layers=2")), 64, "model");
  expect_refused(run_tutti(2, train("model", "--set train.steps=301")), 64, "steps");
  expect_refused(run_tutti(2, train("model", "--set dataset=" + at("others").string())), 64,
                 "dataset");
  // So it is where the checkpoints alone were put into another run's folder.
  std::filesystem::create_directories(at("stranger"));
  std::filesystem::copy(at("model") / "checkpoints", at("stranger") / "checkpoints",
                        std::filesystem::copy_options::recursive);
  expect_refused(run_tutti(1, train("stranger", "--set train.seed=77")), 64, "seed");
  expect_goes_on("model", newest);
}

TEST_F(JobFault, AFolderWithoutPermissionEndsTheRunAndKeepsWhatIsThere) {
  stop_early("closed");
  const auto newest = generations("closed").back();
  const auto checkpoints = at("closed") / "checkpoints";
  // Not even a superuser is let in this way.
  const auto faulty =
      run_command("TUTTI_FAULT=mkdir:1:EACCES:generation- LD_PRELOAD=" TUTTI_FAULT_IO " " +
                  tutti_command(2, train("closed", "--set checkpoint.give_up_after=1")));
  expect_refused(faulty, 74, "Permission denied");
  expect_refused(faulty, 74, checkpoints.string());
  expect_refused(faulty, 74, "check who may write");
  EXPECT_EQ(generations("closed").back(), newest);
  if (geteuid() != 0) {
    std::filesystem::permissions(checkpoints, std::filesystem::perms(0555));
    expect_refused(run_tutti(2, train("closed")), 74, "Permission denied");
    std::filesystem::permissions(checkpoints, std::filesystem::perms(0755));
  }
  expect_goes_on("closed", newest);
}

TEST_F(JobFault, AStopOnAFullDiskEndsWith74AndTheOldCheckpoint) {
  stop_early("full");
  const auto before = generations("full");
  const auto full = run_command(
      "TUTTI_FAULT=posix_fallocate:1:ENOSPC:generation- LD_PRELOAD=" TUTTI_FAULT_IO " " +
      tutti_command(2, train("full", "--set checkpoint.every=1h --max-time 0.05s")));
  expect_refused(full, 74, "No space left");
  expect_refused(full, 74, "free some space there");
  EXPECT_EQ(generations("full"), before);
  const auto inspected = run_tutti(1, "inspect " + before.back().string());
  EXPECT_EQ(inspected.exit_code, 0) << inspected.output;
  expect_goes_on("full", before.back());
}

TEST_F(JobFault, AFileSystemWithoutDirectIOIsToldOfOnce) {
  const std::string without =
      "TUTTI_NO_DIRECT=" + at("cached").string() + " LD_PRELOAD=" TUTTI_FAULT_IO " ";
  const auto done = run_command(without + tutti_command(2, train("cached")));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(count(done.output, "no direct I/O"), 1) << done.output;
  EXPECT_NE(done.output.find((at("cached") / "checkpoints").string() + ": "), std::string::npos)
      << done.output;
  EXPECT_EQ(count(read_text(at("cached") / "log.txt"), "no direct I/O"), 1);
  EXPECT_GE(count(read_text(at("cached") / "events.jsonl"), R"("event":"checkpoint")"), 2);
  EXPECT_EQ(digest_of("cached"), digest_of("undisturbed"));
}

}  // namespace
}  // namespace tutti
