// What a user sees when something goes wrong around a job: a hang, a folder that nobody may write
// to, a limit on file sizes. Each ends the whole job with its exit code, says so, and leaves a
// record.
#include <algorithm>
#include <regex>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;
using testing::tutti_command;

class Failure : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("failure_test");
    testing::write_corpus(folder() / "corpus.jsonl", 60);
    const auto sharded = run_tutti(2, shard("data"));
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string shard(const std::filesystem::path& run, const std::string& more = "") {
    return "shard --run " + (folder() / run).string() +
           " --set input.paths=" + (folder() / "corpus.jsonl").string() +
           " --set shards=3 --set tokenizer.vocabulary=300 --set passage.tokens=24 " + more;
  }
  static std::string train(const std::string& run, const std::string& more = "") {
    return "train --run " + (folder() / run).string() +
           " --set dataset=" + (folder() / "data").string() +
           " --set model.width=16 --set model.layers=1 --set model.heads=2 --set "
           "model.feed_forward=32"
           " --set model.max_tokens=16 --set batch.global=12 --set batch.micro=2 --set threads=1 " +
           more;
  }
  // The last line of a run's events.
  static nlohmann::json last_event(const std::string& run) {
    const std::string events = read_text(folder() / run / "events.jsonl");
    const std::size_t before =
        events.size() < 2 ? std::string::npos : events.rfind('\n', events.size() - 2);
    return nlohmann::json::parse(events.substr(before == std::string::npos ? 0 : before + 1),
                                 nullptr, false);
  }
  static bool alive(pid_t process) { return kill(process, 0) == 0; }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Failure::scratch_ = nullptr;

TEST_F(Failure, ARankThatHangsEndsTheWholeJob) {
  for (const std::size_t stopped : {std::size_t(1), std::size_t(0)}) {
    const std::string run = "hang" + std::to_string(stopped),
                      log = (folder() / (run + ".log")).string();
    testing::Process job(
        tutti_command(3, train(run, "--set train.steps=10000000 --set comm.timeout=2s")), log);
    const std::filesystem::path events = folder() / run / "events.jsonl";
    while (!job.ended() && read_text(events).find("\"step\"") == std::string::npos) usleep(2000);
    const std::vector<pid_t> ranks = job.ranks();
    ASSERT_EQ(ranks.size(), 3u) << read_text(log);
    kill(ranks[stopped], SIGSTOP);
    EXPECT_EQ(job.wait(), 76) << read_text(log);
    EXPECT_TRUE(std::regex_search(
        read_text(log),
        std::regex("hang: rank [0-2] on \\S+ has waited \\d+ s in [a-z-]+ at step \\d+")))
        << read_text(log);
    EXPECT_EQ(read_text(log).find("hang: rank " + std::to_string(stopped) + " "),
              std::string::npos);
    for (int i = 0; i < 1000 && std::any_of(ranks.begin(), ranks.end(), alive); ++i) usleep(10000);
    EXPECT_TRUE(std::none_of(ranks.begin(), ranks.end(), alive)) << "a rank outlives its job";
  }
}

TEST_F(Failure, ARunFolderThatCannotBeIsNamed) {
  const auto expect = [](const std::string& command, const std::string& said) {
    const auto refused = testing::run_command(command);
    EXPECT_EQ(refused.exit_code, 74) << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << refused.output;
    EXPECT_NE(refused.output.find("check who may write"), std::string::npos) << refused.output;
  };
  expect(tutti_command(2, shard("/sys")), "/sys/run.lock");  // nobody makes files there
  const std::string fault = "TUTTI_FAULT=mkdir:1:EROFS:readonly LD_PRELOAD=" TUTTI_FAULT_IO " ";
  expect(fault + tutti_command(2, shard("readonly")), "Read-only file system");

  const auto below_a_file = run_tutti(2, shard("corpus.jsonl/run"));
  EXPECT_EQ(below_a_file.exit_code, 74) << below_a_file.output;
  EXPECT_NE(below_a_file.output.find("corpus.jsonl/run"), std::string::npos) << below_a_file.output;
}

TEST_F(Failure, ALimitOnFileSizesIsAnErrorAndNoSignal) {
  const std::string limited = "\"ulimit -f 32 && exec " TUTTI_BINARY " " + shard("limited") + "\"";
  const auto full =
      testing::run_command(TUTTI_MPIEXEC " --oversubscribe --bind-to none -n 1 sh -c " + limited);
  EXPECT_EQ(full.exit_code, 74) << full.output;
  EXPECT_NE(full.output.find("File too large"), std::string::npos) << full.output;
  EXPECT_NE(full.output.find("ulimit -f"), std::string::npos) << full.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "limited" / "manifest.json"));
}

TEST_F(Failure, AnErrorIsInTheLogAndTheEvents) {
  std::filesystem::copy(folder() / "data", folder() / "damaged");
  std::string bytes = read_text(folder() / "damaged" / "shard-00001.h5");
  for (std::size_t i = 2048; i < bytes.size(); i += 64) bytes[i] ^= 1;
  testing::write_text(folder() / "damaged" / "shard-00001.h5", bytes);
  const std::string more = "--set train.steps=50 --set dataset=" + (folder() / "damaged").string();
  const auto done = run_tutti(2, train("record", more));
  ASSERT_EQ(done.exit_code, 65) << done.output;
  const nlohmann::json event = last_event("record");
  EXPECT_EQ(event["event"], "error") << event;
  EXPECT_EQ(event["code"], 65) << event;
  EXPECT_NE(event["what"].get<std::string>().find("damaged"), std::string::npos) << event;
  EXPECT_NE(event["where"].get<std::string>().find("shard-00001.h5"), std::string::npos) << event;
  EXPECT_NE(event["fix"].get<std::string>().find("restore"), std::string::npos) << event;
  const std::string log = read_text(folder() / "record" / "log.txt");
  EXPECT_NE(log.find("error: "), std::string::npos) << log;
  EXPECT_NE(log.find("shard-00001.h5"), std::string::npos) << log;

  // Nothing is written into a folder that another job holds, or before there is one.
  EXPECT_EQ(run_tutti(2, train("dry", "--dry-run --set model.heads=3")).exit_code, 64);
  EXPECT_FALSE(std::filesystem::exists(folder() / "dry"));
}

}  // namespace
}  // namespace tutti
