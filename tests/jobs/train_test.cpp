// The train job as a user starts it: the same bytes on any number of ranks, killed or not.
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

class Train : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("train_test");
    testing::write_corpus(folder() / "corpus.jsonl", 120);
    testing::write_text(folder() / "data.toml",
                        "shards = 5\n[input]\npaths = [\"" + (folder() / "corpus.jsonl").string() +
                            "\"]\n[tokenizer]\nvocabulary = 300\n[passage]\ntokens = 24\n"
                            "[split]\nheldout = 0.2\n");
    const auto sharded = run_tutti(2, "shard " + (folder() / "data.toml").string());
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    testing::write_text(
        folder() / "train.toml",
        "dataset = \"" + (folder() / "data").string() +
            "\"\n[model]\nwidth = 32\nlayers = 2\nheads = 2\nfeed_forward = 64\nmax_tokens = 32\n"
            "[batch]\nglobal = 20\nmicro = 4\n[train]\nsteps = 40\nspan_share = 0.3\n"
            "[optimizer]\nwarmup_steps = 5\n[checkpoint]\nevery = \"100ms\"\n");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "train " + (folder() / "train.toml").string() + " --run " + (folder() / run).string() +
           " " + more;
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "result.json"));
  }
  static std::string undisturbed_digest() {
    static const std::string digest = [] {
      const auto done = run_tutti(1, arguments("undisturbed"));
      EXPECT_EQ(done.exit_code, 0) << done.output;
      return result_of("undisturbed")["model_digest"].get<std::string>();
    }();
    return digest;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Train::scratch_ = nullptr;

TEST_F(Train, TheSameModelOnAnyNumberOfRanks) {
  for (int ranks : {2, 3, 4}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const auto done = run_tutti(ranks, arguments(run));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(result_of(run)["model_digest"], undisturbed_digest()) << ranks << " ranks";
    EXPECT_EQ(read_text(folder() / run / "model.h5"),
              read_text(folder() / "undisturbed" / "model.h5"));
  }
}

TEST_F(Train, MoreRanksThanMicroBatchesIsFine) {
  const auto done = run_tutti(7, arguments("ranks7"));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(result_of("ranks7")["model_digest"], undisturbed_digest());
}

TEST_F(Train, KilledTenTimesAtRandomMomentsOnChangingRanks) {
  const auto done = testing::run_with_kills(arguments("killed", "--set checkpoint.every=10ms"),
                                            folder() / "killed", {2, 1, 4}, 10);
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(done.kills, 10);
  EXPECT_GE(done.restores, 1);
  EXPECT_EQ(result_of("killed")["model_digest"], undisturbed_digest());
}

TEST_F(Train, ASignalEndsWithACheckpointAndCode75) {
  for (int signal_number : {SIGTERM, SIGUSR2}) {
    const std::string run = "signal" + std::to_string(signal_number);
    testing::Process job(testing::tutti_command(2, arguments(run, "--set train.steps=100000")),
                         (folder() / (run + ".log")).string());
    for (int i = 0; i < 2000 && read_text(folder() / run / "events.jsonl").find("\"step\"") ==
                                    std::string::npos;
         ++i)
      usleep(10000);
    job.signal_ranks(signal_number);
    EXPECT_EQ(job.wait(), 75) << read_text(folder() / (run + ".log"));
    EXPECT_NE(read_text(folder() / (run + ".log")).find("checkpoint generation"),
              std::string::npos);
  }
}

TEST_F(Train, TheNumberOfRanksChangesAtEveryStart) {
  const std::string length = "--set train.steps=120 --set checkpoint.every=1h";
  const auto undisturbed = run_tutti(1, arguments("rigid", length));
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.output;
  const auto events = folder() / "elastic" / "events.jsonl";
  for (const int ranks : {4, 1, 3, 2}) {
    const std::size_t before = read_text(events).size();
    testing::Process job(testing::tutti_command(ranks, arguments("elastic", length)),
                         (folder() / "elastic.log").string());
    while (!job.ended() && read_text(events).find("\"step\",", before) == std::string::npos)
      usleep(1000);
    job.signal_ranks(SIGUSR2);
    ASSERT_EQ(job.wait(), 75) << read_text(folder() / "elastic.log");
  }
  const auto done = run_tutti(4, arguments("elastic", length));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(result_of("elastic")["model_digest"], result_of("rigid")["model_digest"]);
  EXPECT_EQ(read_text(folder() / "elastic" / "model.h5"),
            read_text(folder() / "rigid" / "model.h5"));
}

// By a signal, and by a file, which is taken away.
TEST_F(Train, ACheckpointIsLeftOnRequestAndTheRunGoesOn) {
  const auto run = folder() / "request";
  const auto has = [&](const char* event, int times) {
    for (int i = 0; i < 3000; ++i, usleep(10000)) {
      const std::string events = read_text(run / "events.jsonl");
      int found = 0;
      for (std::size_t at = 0; (at = events.find(event, at)) != std::string::npos; ++at) ++found;
      if (found >= times) return true;
    }
    return false;
  };
  testing::Process job(
      testing::tutti_command(
          2, arguments("request", "--set train.steps=100000 --set checkpoint.every=1h")),
      run.string() + ".log");
  ASSERT_TRUE(has("\"step\"", 2));
  job.signal_ranks(SIGUSR1);
  EXPECT_TRUE(has("\"checkpoint\"", 1));
  testing::write_text(run / "checkpoint.now", "");
  EXPECT_TRUE(has("\"checkpoint\"", 2));
  EXPECT_FALSE(std::filesystem::exists(run / "checkpoint.now"));
  EXPECT_FALSE(job.ended());
}

// Two nodes, played by one machine, with a folder each; one of them loses its own.
TEST_F(Train, NodeLocalCheckpointsOutliveANode) {
  const std::string local = (folder() / "local-{host}").string();
  const std::string train = arguments("levels",
                                      "--set checkpoint.every=0s --set checkpoint.shared_every=1h "
                                      "--set checkpoint.local=" +
                                          local);
  const auto on_nodes = [&](const std::string& more) {
    const std::string each = std::string(" ") + TUTTI_BINARY + " " + train + " " + more;
    return testing::run_command(std::string(TUTTI_MPIEXEC) +
                                " --oversubscribe --bind-to none -n 1 -x TUTTI_NODE=a" + each +
                                " : -n 1 -x TUTTI_NODE=b" + each);
  };
  auto stopped = on_nodes("--max-time 1s");
  for (int i = 0; i < 3 && stopped.exit_code == 0; ++i) {  // it was done before
    std::filesystem::remove_all(folder() / "levels");
    stopped = on_nodes("--max-time 0.3s");
  }
  ASSERT_EQ(stopped.exit_code, 75) << stopped.output;
  std::filesystem::remove_all(folder() / "local-a");
  // What the stop left in the run's folder, too: node b alone has the newest.
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder() / "levels/checkpoints"))
    if (entry.is_directory() && entry.path() > newest) newest = entry.path();
  std::filesystem::remove_all(newest);
  const auto done = on_nodes("");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  const std::string number = newest.filename().string().substr(std::string("generation-").size());
  EXPECT_NE(done.output.find("resumed from checkpoint generation " +
                             std::to_string(std::stol(number)) + " "),
            std::string::npos)
      << done.output;
  EXPECT_EQ(result_of("levels")["model_digest"], undisturbed_digest());
}

TEST_F(Train, MaxTimeStopsAndTheSameCommandGoesOn) {
  int starts = 0;
  std::string length;
  // As many steps as outlast the limit on this machine.
  for (int steps = 40; starts < 2 && steps <= 40 << 12; steps *= 4) {
    length = "--set train.steps=" + std::to_string(steps) + " --set checkpoint.every=1h ";
    std::filesystem::remove_all(folder() / "timed");
    starts = 0;
    int code = 75;
    while (code == 75 &&
           ++starts < 50)  // a later start has longer, so that a slow machine comes to the end, too
      code = run_tutti(
                 2, arguments("timed", length + "--max-time " + std::to_string(0.4 * starts) + "s"))
                 .exit_code;
    ASSERT_EQ(code, 0) << steps << " steps, " << starts << " starts";
  }
  ASSERT_GT(starts, 1) << "the time limit never struck";
  const auto undisturbed = run_tutti(1, arguments("untimed", length));
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.output;
  EXPECT_EQ(result_of("timed")["model_digest"], result_of("untimed")["model_digest"]);
}

// A small language model of either family on the same documents.
class TrainLanguageModel : public Train {
 protected:
  static std::string language(const std::string& run, const std::string& more = "") {
    return arguments(
        run,
        "--set model.kind=llama --set model.kv_heads=1 --set model.max_tokens=40 "
        "--set batch.global=16 --set batch.micro=2 --set batch.leaf=4 --set train.span_share=0 " +
            more);
  }
  static std::string digest_of(int ranks, const std::string& run, const std::string& more = "") {
    const auto done = run_tutti(ranks, language(run, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return done.exit_code == 0 ? result_of(run)["model_digest"].get<std::string>() : "failed";
  }
  // Of the run "language", which is there then.
  static std::string undisturbed_digest() {
    static const std::string digest = digest_of(1, "language");
    return digest;
  }
};

TEST_F(TrainLanguageModel, TheSameModelOnAnyNumberOfRanks) {
  for (const char* more :
       {"", "--set model.kind=gpt2 --set optimizer.schedule=wsd --set train.dtype=f32"}) {
    const std::string run = "language" + std::to_string(std::string(more).size());
    const std::string one = *more ? digest_of(1, "language_other", more) : undisturbed_digest();
    for (int ranks : {2, 4, 5})
      EXPECT_EQ(digest_of(ranks, run + "_" + std::to_string(ranks), more), one) << ranks;
    EXPECT_LT(result_of(*more ? "language_other" : "language")["loss"], 5.0)
        << "of ln(300) = 5.7 where nothing is learnt";
  }
}

// MPI's order of sums gives other bytes, but the same training.
TEST_F(TrainLanguageModel, TheFastReductionTrainsAsWell) {
  undisturbed_digest();
  for (int ranks : {1, 2, 5}) {
    const std::string run = "language_fast" + std::to_string(ranks);
    digest_of(ranks, run, "--set train.reduce=fast");
    EXPECT_NEAR(result_of(run)["loss"].get<double>(), result_of("language")["loss"].get<double>(),
                0.05);
  }
  const auto other = run_tutti(2, language("language_fast2"));
  EXPECT_EQ(other.exit_code, 64) << other.output;
  EXPECT_NE(other.output.find("train.reduce"), std::string::npos) << other.output;
}

TEST_F(TrainLanguageModel, KilledAtRandomMomentsOnChangingRanks) {
  const auto done =
      testing::run_with_kills(language("language_killed", "--set checkpoint.every=10ms"),
                              folder() / "language_killed", {2, 4, 1}, 6);
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(done.kills, 6);
  EXPECT_GE(done.restores, 1);
  EXPECT_EQ(result_of("language_killed")["model_digest"], undisturbed_digest());
}

TEST_F(TrainLanguageModel, MistakesEndWithTheirCode) {
  const auto expect = [&](const std::string& more, int code, const std::string& text) {
    const auto done = run_tutti(2, language("language_mistake", more));
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << more << "\n" << done.output;
  };
  expect("--set data.separator=nothing", 64, "data.separator");
  expect("--set batch.leaf=3", 64, "batch.leaf");
  expect("--set model.max_tokens=1000000", 65, "less than one sequence");
  expect("--set batch.global=8000", 64, "batch.global");
  expect("--set model.kv_heads=3", 64, "model.kv_heads");
}

TEST_F(Train, MistakesEndWithTheirCodeAndSayWhatToDo) {
  const auto expect = [&](const std::string& more, int code, const std::string& text) {
    const auto done = run_tutti(2, arguments("mistake", more));
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << more << "\n" << done.output;
    EXPECT_EQ(done.output.find("tutti: error", done.output.find("tutti: error") + 1),
              std::string::npos)
        << "told twice:\n"
        << done.output;
  };
  expect("--set train.stesp=3", 64, "train.steps");
  expect("--set batch.micro=3", 64, "multiple");
  expect("--set batch.global=4000", 64, "lower batch.global");
  expect("--set dataset=/nonexistent", 64, "/nonexistent");
  expect("--set model.heads=5", 64, "model.heads");
  expect("--set device=cuda", 69, "device");
}

TEST_F(Train, AFullDiskIsToldOfAndEndsWith74WhereTheRunIsToGiveUp) {
  const std::string fault =
      "TUTTI_FAULT=posix_fallocate:6:ENOSPC:generation- LD_PRELOAD=" TUTTI_FAULT_IO " ";
  // Often enough that the fault strikes on a fast machine, too.
  const std::string full_arguments = arguments("full", "--set checkpoint.every=2ms");
  const auto passing = testing::run_command(fault + testing::tutti_command(2, full_arguments));
  EXPECT_EQ(passing.exit_code, 0) << passing.output;
  EXPECT_NE(passing.output.find("No space left"), std::string::npos) << passing.output;
  EXPECT_EQ(result_of("full")["model_digest"], undisturbed_digest());

  std::filesystem::remove_all(folder() / "full");
  const auto full = testing::run_command(
      fault + testing::tutti_command(2, full_arguments + " --set checkpoint.give_up_after=1"));
  EXPECT_EQ(full.exit_code, 74) << full.output;
  EXPECT_NE(full.output.find("No space left"), std::string::npos) << full.output;
  const auto done = run_tutti(2, full_arguments);
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("resumed from checkpoint"), std::string::npos) << done.output;
  EXPECT_EQ(result_of("full")["model_digest"], undisturbed_digest());
}

TEST_F(Train, ACheckpointIsInspectedLikeAnyArtefact) {
  ASSERT_EQ(run_tutti(2, arguments("inspected", "--set train.steps=3")).exit_code, 0);
  const auto folder_of =
      *std::filesystem::directory_iterator(folder() / "inspected" / "checkpoints");
  EXPECT_EQ(run_tutti(2, "inspect " + folder_of.path().string()).exit_code, 0);
  const auto part = folder_of.path() / "part-00001.h5";
  std::string bytes = read_text(part);
  bytes[bytes.size() - 1] ^= 1;
  testing::write_text(part, bytes);
  const auto damaged = run_tutti(1, "inspect " + folder_of.path().string());
  EXPECT_EQ(damaged.exit_code, 65) << damaged.output;
  EXPECT_NE(damaged.output.find("part-00001.h5"), std::string::npos) << damaged.output;
}

TEST_F(Train, AnotherConfigurationDoesNotGoOnFromACheckpoint) {
  ASSERT_EQ(run_tutti(1, arguments("changed", "--set train.steps=4")).exit_code, 0);
  const auto done =
      run_tutti(2, arguments("changed", "--set train.steps=4 --set optimizer.learning_rate=0.5"));
  EXPECT_EQ(done.exit_code, 64) << done.output;
  EXPECT_NE(done.output.find("optimizer"), std::string::npos) << done.output;
}

TEST_F(Train, ATamperedShardIsNamed) {
  std::filesystem::copy(folder() / "data", folder() / "tampered",
                        std::filesystem::copy_options::recursive);
  std::string bytes = read_text(folder() / "tampered" / "shard-00002.h5");
  bytes[bytes.size() / 2] ^= 1;
  testing::write_text(folder() / "tampered" / "shard-00002.h5", bytes);
  const auto done =
      run_tutti(2, arguments("tampered_run", "--set dataset=" + (folder() / "tampered").string()));
  EXPECT_EQ(done.exit_code, 65) << done.output;
  EXPECT_NE(done.output.find("shard-00002.h5"), std::string::npos) << done.output;
  const auto inspected = testing::run_tutti(1, "inspect " + (folder() / "tampered").string());
  EXPECT_EQ(inspected.exit_code, 65) << inspected.output;
  EXPECT_NE(inspected.output.find("shard-00002.h5"), std::string::npos) << inspected.output;
}

}  // namespace
}  // namespace tutti
