// Options of the train job that say what of a model changes, and how: each gives the same bytes on
// any number of ranks, killed or not.
#include <map>
#include <sstream>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "jobs/decoder_model.h"
#include "kernels/model/decoder.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/killed_run.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;

class TrainOptions : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("train_options_test");
    testing::write_corpus(folder() / "corpus.jsonl", 80);
    testing::write_text(folder() / "data.toml",
                        "shards = 3\n[input]\npaths = [\"" + (folder() / "corpus.jsonl").string() +
                            "\"]\n[tokenizer]\nvocabulary = 300\n[passage]\ntokens = 24\n"
                            "[split]\nheldout = 0.2\n");
    const auto sharded = run_tutti(2, "shard " + (folder() / "data.toml").string());
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    testing::write_text(
        folder() / "train.toml",
        "dataset = \"" + (folder() / "data").string() +
            "\"\n[model]\nkind = \"gpt2\"\nwidth = 32\nlayers = 2\nheads = 2\nfeed_forward = 64\n"
            "max_tokens = 40\n[batch]\nglobal = 16\nmicro = 2\nleaf = 4\n[train]\nsteps = 30\n"
            "[optimizer]\nwarmup_steps = 5\nlearning_rate = 0.005\n"
            "[checkpoint]\nevery = \"100ms\"\n");
  }
  static void TearDownTestSuite() { delete scratch_; }

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
  // Of the run "plain", without any option, which is there then.
  static std::string plain_digest() {
    static const std::string digest = digest_of(1, "plain");
    return digest;
  }
  // Of a model before any step, which is there as "untrained" then.
  static auto untrained_parameters() {
    static const std::string digest = digest_of(1, "untrained", "--set train.steps=0");
    return parameters_of("untrained");
  }
  // Trains with `more` on 1, 2 and 4 ranks and killed on changing ones; returns the one digest.
  static std::string one_digest(const std::string& run, const std::string& more) {
    const std::string digest = digest_of(1, run, more);
    for (const int ranks : {2, 4})
      EXPECT_EQ(digest_of(ranks, run + std::to_string(ranks), more), digest) << ranks << " ranks";
    const std::string killed = run + "_killed";
    const auto done = testing::run_with_kills(
        arguments(killed, more + " --set checkpoint.every=10ms"), folder() / killed, {2, 4, 1}, 4);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    EXPECT_GE(done.restores, 1);
    EXPECT_EQ(result_of(killed)["model_digest"], digest) << "killed";
    return digest;
  }
  static void expect_refused(const std::string& more, const std::string& said) {
    const auto refused = run_tutti(2, arguments("refused", more));
    EXPECT_EQ(refused.exit_code, 64) << more << "\n" << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << more << "\n" << refused.output;
  }

  // Events of a kind by their steps; a step that a kill let happen twice must tell the same twice.
  static std::map<std::int64_t, nlohmann::json> events_of(const std::string& run,
                                                          const std::string& kind) {
    std::map<std::int64_t, nlohmann::json> events;
    std::istringstream lines(read_text(folder() / run / kEventsFile));
    for (std::string line; std::getline(lines, line);) {
      nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
      if (event.is_discarded() || event["event"] != kind) continue;
      for (const char* clock : {"time", "uptime_seconds", "checkpoint_seconds"}) event.erase(clock);
      const auto [before, is_new] = events.emplace(event["step"], event);
      EXPECT_TRUE(is_new || before->second == event) << event;
    }
    return events;
  }

  // A trained decoder's parameters, by their names.
  static std::map<std::string, std::vector<float>> parameters_of(const std::string& run) {
    const Manifest manifest = load_manifest(folder() / run, kModelKind);
    const ArenaLayout layout = decoder_layout(decoder_shape_of(manifest, run));
    std::vector<float> arena(std::size_t(layout.padded_size()));
    load_parameters(folder() / run, manifest, layout, arena);
    std::map<std::string, std::vector<float>> parameters;
    for (const Parameter& p : layout.parameters()) {
      const std::span<const float> values = view_of(p, std::span<const float>(arena));
      parameters[p.name].assign(values.begin(), values.end());
    }
    return parameters;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* TrainOptions::scratch_ = nullptr;

TEST_F(TrainOptions, WhatIsFrozenKeepsItsBytesAndTheRestLearns) {
  const std::string freeze = "--set 'train.freeze=[\"token.embedding\", \"layer0.*\"]'";
  one_digest("frozen", freeze);
  const auto before = untrained_parameters();
  for (const auto& [name, after] : parameters_of("frozen")) {
    const bool frozen = name == "token.embedding" || name.starts_with("layer0.");
    EXPECT_EQ(after == before.at(name), frozen) << name;
  }
}

TEST_F(TrainOptions, WeightDecaysByName) {
  const std::string decay =
      "--set 'optimizer.decay=[\"layer*=0\", \"layer1.*=0.5\", \"final_norm.gain=1\"]'";
  const std::string digest = one_digest("decayed", decay);
  EXPECT_NE(digest, plain_digest());
  EXPECT_EQ(digest_of(1, "as_default", "--set 'optimizer.decay=[\"layer0.qkv.weight=0.01\"]'"),
            plain_digest());
}

// Without an average, a run of n steps saves the parameters after n steps.
TEST_F(TrainOptions, TheMovingAverageIsWhatIsSavedAndMeasured) {
  const std::string constant = "--set optimizer.schedule=constant ";
  const std::string average = constant + "--set optimizer.ema=0.75 --set evaluate.every=7 ";
  const std::string digest = one_digest("average", average);
  EXPECT_EQ(digest_of(1, "average_unmeasured", constant + "--set optimizer.ema=0.75"), digest)
      << "measuring on the way changes nothing";
  digest_of(1, "average_short", average + "--set train.steps=3");
  auto expected = untrained_parameters();
  for (const int steps : {1, 2, 3}) {
    const std::string run = "steps" + std::to_string(steps);
    digest_of(1, run, constant + "--set train.steps=" + std::to_string(steps));
    for (const auto& [name, values] : parameters_of(run))
      for (std::size_t i = 0; i < values.size(); ++i)
        expected[name][i] = 0.75f * expected[name][i] + 0.25f * values[i];
  }
  for (const auto& [name, values] : parameters_of("average_short"))
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], expected[name][i], 1e-6) << name;
  EXPECT_NE(result_of("average_short")["heldout_loss"], result_of("steps3")["heldout_loss"]);
  // Going on, and ending once more, after the end changes nothing either.
  EXPECT_EQ(digest_of(2, "average", average), digest);
  expect_refused("--set optimizer.ema=1", "optimizer.ema");
}

TEST_F(TrainOptions, RecomputedActivationsGiveTheSameModelInLessMemory) {
  for (const char* kind : {"gpt2 --set batch.global=8", "llama --set batch.global=8",
                           "encoder --set batch.global=16 --set batch.leaf=0"}) {
    const std::string run = "recompute_" + std::string(kind).substr(0, 4);
    const std::string more =
        "--set train.steps=3 --set model.width=128 --set model.layers=6 "
        "--set model.max_tokens=256 --set batch.micro=8 --set batch.leaf=8 "
        "--set model.feed_forward=512 --set model.kind=" +
        std::string(kind) + " ";
    const std::string kept = digest_of(1, run, more);
    EXPECT_EQ(digest_of(2, run + "_less", more + "--set train.recompute=true"), kept) << kind;
    digest_of(1, run + "_least", more + "--set train.recompute=true");
    EXPECT_LT(result_of(run + "_least")["peak_memory_bytes"], result_of(run)["peak_memory_bytes"])
        << kind;
    // It is no part of what a model follows from: a run may go on with it.
    EXPECT_EQ(digest_of(2, run, more + "--set train.recompute=true"), kept) << kind;
  }
}

// What stands out follows from the losses alone, whoever was killed in between.
TEST_F(TrainOptions, LossesThatStandOutAreToldWithTheirSamples) {
  const std::string watchful =
      "--set train.spike_window=4 --set train.spike_deviations=0.3 --set "
      "optimizer.learning_rate=0.5";
  one_digest("spikes", watchful);
  const auto spikes = events_of("spikes", "spike");
  ASSERT_FALSE(spikes.empty());
  EXPECT_EQ(result_of("spikes")["loss_spikes"], spikes.size());
  for (const auto& [step, event] : spikes) {
    EXPECT_GT(event["loss"], event["limit"]);
    EXPECT_EQ(event["samples"].size(), 16u);
  }
  for (const char* other : {"spikes2", "spikes4", "spikes_killed"}) {
    EXPECT_EQ(events_of(other, "spike"), spikes) << other;
    EXPECT_EQ(result_of(other)["loss_spikes"], spikes.size()) << other;
  }
  digest_of(1, "unwatched", watchful + " --set train.spike_window=0");
  EXPECT_TRUE(events_of("unwatched", "spike").empty());
  EXPECT_EQ(result_of("unwatched")["model_digest"], result_of("spikes")["model_digest"]);
  expect_refused("--set train.spike_deviations=0", "train.spike_deviations");
}

TEST_F(TrainOptions, TheBestSpeedOfProductsIsKeptAndNoCacheIsNeeded) {
  int runs = 0;
  const auto share_with_cache = [&](const std::filesystem::path& cache) {
    const std::string run = "cached" + std::to_string(runs++);
    const auto done =
        testing::run_command("XDG_CACHE_HOME=" + cache.string() + " " +
                             testing::tutti_command(2, arguments(run, "--set train.steps=2")));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    const auto steps = events_of(run, "step");
    EXPECT_EQ(steps.size(), 2u);
    return steps.empty() ? -1.0 : steps.begin()->second["roofline_share"].get<double>();
  };
  const auto kept = [&] {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / "cache" / "tutti"))
      files.push_back(entry.path());
    return files;
  };
  EXPECT_GE(share_with_cache(folder() / "cache"), 0);
  ASSERT_EQ(kept().size(), 1u);
  const auto rate = [&] {
    const auto file = nlohmann::json::parse(read_text(kept()[0])).flatten();
    for (const auto& [name, value] : file.items())
      if (name.ends_with("flops_per_second")) return value.get<double>();
    return 0.0;
  };
  const double measured = rate();
  EXPECT_GT(measured, 0);
  EXPECT_GE(share_with_cache(folder() / "cache"), 0);
  ASSERT_EQ(kept().size(), 1u);
  EXPECT_GE(rate(), measured) << "the best is kept";
  testing::write_text(kept()[0], "nonsense");
  EXPECT_GE(share_with_cache(folder() / "cache"), 0);
  EXPECT_NE(read_text(kept()[0]), "nonsense") << "measured once more";
  EXPECT_GE(share_with_cache(folder() / "train.toml"), 0) << "no folder can be made there";
}

TEST_F(TrainOptions, DropoutFollowsFromTheSampleAlone) {
  const std::string digest = one_digest("dropout", "--set train.dropout=0.2");
  EXPECT_NE(digest, plain_digest());
  EXPECT_EQ(digest_of(1, "dropout_again", "--set train.dropout=0.2 --set train.recompute=true"),
            digest);
  expect_refused("--set train.dropout=1", "train.dropout");
  expect_refused("--set train.dropout=0.1 --set model.kind=encoder --set batch.leaf=0",
                 "train.dropout");
}

// Large enough for memory to go back to the system between an update and the next. Other tokens are
// looked up in evaluations.
TEST_F(TrainOptions, ParametersOfOtherRanksComeAndGo) {
  const std::string larger =
      "--set model.width=256 --set model.heads=4 --set train.steps=4 --set evaluate.every=1 "
      "--set optimizer.ema=0.5";
  const std::string digest = digest_of(1, "come_and_go_1", larger);
  const double loss = result_of("come_and_go_1").at("heldout_loss");
  for (const int ranks : {2, 4}) {
    const std::string run = "come_and_go_" + std::to_string(ranks);
    EXPECT_EQ(digest_of(ranks, run, larger), digest);
    EXPECT_EQ(result_of(run).at("heldout_loss"), loss);
  }
  EXPECT_EQ(digest_of(2, "come_and_go_fast", larger + " --set train.reduce=fast").size(),
            digest.size());
}

TEST_F(TrainOptions, PatternsThatMeanNothingAreRefused) {
  expect_refused("--set 'train.freeze=[\"layer7.*\"]'", "layer7.*");
  expect_refused("--set 'train.freeze=[\"*\"]'", "train.freeze");
  expect_refused("--set 'optimizer.decay=[\"nothing=0.5\"]'", "nothing");
  expect_refused("--set 'optimizer.decay=[\"layer*\"]'", "optimizer.decay");
  expect_refused("--set 'optimizer.decay=[\"layer*=-1\"]'", "optimizer.decay");
}

}  // namespace
}  // namespace tutti
