// tutti checkpoint: every action on runs of training and of an index, and what it refuses.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "runtime/data/paths.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::read_text;
using testing::run_tutti;

// A run of training with several checkpoints, made once; each test works on a copy.
class CheckpointTool : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("checkpoint_tool_test");
    testing::write_corpus(folder() / "corpus.jsonl", 60);
    expect_done(2, "shard --run " + path("data") + " --set input.paths=" + path("corpus.jsonl") +
                       " --set shards=3 --set tokenizer.vocabulary=300 --set passage.tokens=24");
    expect_done(2, train("trained", "--set train.steps=300 --set optimizer.ema=0.9"));
  }
  static void TearDownTestSuite() { delete scratch_; }
  void SetUp() override {
    std::filesystem::remove_all(run());
    std::filesystem::copy(folder() / "trained", run(), std::filesystem::copy_options::recursive);
    generations_.clear();
    const json listed = list(1);
    for (const json& entry : listed) generations_.push_back(entry.at("generation"));
    ASSERT_GE(generations_.size(), 3u);
  }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static std::filesystem::path run() { return folder() / "run"; }
  static std::string train(const std::string& run, const std::string& more) {
    return "train --run " + path(run) + " --set dataset=" + path("data") +
           " --set model.width=16 --set model.layers=1 --set model.heads=2"
           " --set model.feed_forward=32 --set model.max_tokens=16 --set batch.global=12"
           " --set batch.micro=2 --set threads=1 --set checkpoint.every=20ms"
           " --set checkpoint.keep=4 " +
           more;
  }
  static void expect_done(int ranks, const std::string& command) {
    const auto done = run_tutti(ranks, command);
    ASSERT_EQ(done.exit_code, 0) << command << "\n" << done.output;
  }
  static testing::CommandResult checkpoint(int ranks, const std::string& arguments) {
    return run_tutti(ranks, "checkpoint " + arguments);
  }
  static void expect_refused(int code, const std::string& arguments, const std::string& said) {
    const auto refused = checkpoint(2, arguments);
    EXPECT_EQ(refused.exit_code, code) << arguments << "\n" << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << arguments << "\n" << refused.output;
  }
  static json list(int ranks) {
    const auto told = checkpoint(ranks, "ls --json " + run().string());
    EXPECT_EQ(told.exit_code, 0) << told.output;
    return json::parse(told.output, nullptr, false);
  }
  static std::filesystem::path generation_folder(std::int64_t generation) {
    return run() / kCheckpointFolder / fmt::format("generation-{:08}", generation);
  }
  // Of the first dataset.
  static void flip_byte(const std::filesystem::path& file) {
    std::string bytes = read_text(file);
    bytes.at(5000) ^= 1;
    testing::write_text(file, bytes);
  }
  static void expect_same_model(const std::filesystem::path& ours,
                                const std::filesystem::path& theirs) {
    for (const char* file : {kManifestFile, kModelFile, kTokenizerFile})
      EXPECT_EQ(read_text(ours / file), read_text(theirs / file)) << file;
  }
  std::string named(std::size_t i) const {
    return run().string() + " " + std::to_string(generations_[i]);
  }

  std::vector<std::int64_t> generations_;  // newest first
  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* CheckpointTool::scratch_ = nullptr;

TEST_F(CheckpointTool, ListsWhatIsThere) {
  std::filesystem::create_directories(generation_folder(900));
  std::filesystem::rename(generation_folder(generations_[2]),
                          generation_folder(generations_[2]).string() + ".damaged");
  std::filesystem::resize_file(generation_folder(generations_[1]) / "part-00001.h5", 5000);
  for (const int ranks : {1, 2}) {
    const json all = list(ranks);
    ASSERT_EQ(all.size(), generations_.size() + 1) << all;
    EXPECT_EQ(all[0].at("condition"), "unfinished");
    EXPECT_EQ(all[1].at("condition"), "complete");
    EXPECT_EQ(all[1].at("step"), 300);
    EXPECT_EQ(all[1].at("parts"), 2);
    EXPECT_GT(all[1].at("bytes"), 100000);
    EXPECT_EQ(all[2].at("condition"), "damaged");
    EXPECT_EQ(all[3].at("condition"), "set aside");
    const auto table = checkpoint(ranks, "ls " + run().string());
    EXPECT_EQ(table.exit_code, 0);
    for (const char* text : {"generation", "step 300", "unfinished", "part-00001.h5", "set aside"})
      EXPECT_NE(table.output.find(text), std::string::npos) << text << "\n" << table.output;
  }
}

TEST_F(CheckpointTool, VerifyNamesTheDamageAndChangesNothing) {
  for (const int ranks : {1, 3})
    EXPECT_EQ(checkpoint(ranks, "verify " + run().string()).exit_code, 0);
  flip_byte(generation_folder(generations_[1]) / "part-00000.h5");
  EXPECT_EQ(list(1)[1].at("condition"), "complete") << "ls reads no data";
  for (const std::string& arguments : {run().string(), named(1)})
    for (const char* text : {"run: ", "part-00000.h5", "dataset /parameters, block 0"})
      expect_refused(65, "verify " + arguments, text);
  expect_refused(65, "verify " + named(1), "generation " + std::to_string(generations_[1]));
  EXPECT_EQ(checkpoint(1, "verify " + named(0)).exit_code, 0);
  EXPECT_EQ(list(1).size(), generations_.size());
  expect_refused(64, "verify " + run().string() + " 900", "no checkpoint generation 900");
  expect_refused(64, "verify " + path("nothing"), "nothing");
  EXPECT_EQ(checkpoint(1, "verify " + path("data")).exit_code, 0) << "a run without checkpoints";
}

TEST_F(CheckpointTool, WhatIsPinnedStays) {
  expect_done(2, "checkpoint pin " + named(2));
  EXPECT_EQ(list(1)[2].at("pinned"), true);
  expect_refused(64, "rm " + named(2), "pinned");
  expect_done(1, "checkpoint unpin " + named(2));
  EXPECT_EQ(list(1)[2].at("pinned"), false);
  expect_done(2, "checkpoint rm " + named(2));
  EXPECT_FALSE(std::filesystem::exists(generation_folder(generations_[2])));
  EXPECT_EQ(list(1).size(), generations_.size() - 1);
  expect_refused(64, "pin " + named(2), "no checkpoint generation");
}

TEST_F(CheckpointTool, TheLastThatVerifiesIsNotRemoved) {
  for (std::size_t i = 1; i < generations_.size(); ++i)
    flip_byte(generation_folder(generations_[i]) / "part-00000.h5");
  expect_refused(64, "rm " + named(0), "no other generation");
  EXPECT_TRUE(std::filesystem::exists(generation_folder(generations_[0])));
  expect_done(2, "checkpoint rm " + named(1));
  EXPECT_FALSE(std::filesystem::exists(generation_folder(generations_[1])));
  expect_refused(64, "rm " + run().string(), "--damaged");
  expect_refused(64, "rm --damaged " + named(0), "--damaged");
}

TEST_F(CheckpointTool, WhatWasSetAsideIsRemovedOnRequest) {
  const std::filesystem::path aside = generation_folder(generations_[1]).string() + ".damaged";
  std::filesystem::rename(generation_folder(generations_[1]), aside);
  expect_done(2, "checkpoint rm --damaged " + run().string());
  EXPECT_FALSE(std::filesystem::exists(aside));
  EXPECT_EQ(list(1).size(), generations_.size() - 1);
}

TEST_F(CheckpointTool, NothingIsRemovedBesideAJob) {
  testing::Process job(testing::tutti_command(1, train("busy", "--set train.steps=10000000")),
                       path("busy.log"));
  const auto begun = [&] {
    return read_text(folder() / "busy" / kEventsFile).find(R"("event":"checkpoint")") !=
           std::string::npos;
  };
  while (!job.ended() && !begun()) usleep(1000);
  ASSERT_FALSE(job.ended()) << read_text(path("busy.log"));
  expect_refused(64, "rm " + path("busy") + " 0", "another job holds this run folder");
  expect_refused(64, "rm --damaged " + path("busy"), ", process ");
  EXPECT_EQ(checkpoint(1, "ls " + path("busy")).exit_code, 0);
  job.kill_all();
  job.wait();
}

TEST_F(CheckpointTool, ConvertsTheFinalCheckpointToWhatTheRunSaved) {
  expect_done(1, "checkpoint convert " + run().string() + " " + path("converted"));
  expect_same_model(folder() / "converted", run());
  expect_done(3, "checkpoint convert " + named(0) + " " + path("converted"));
  expect_same_model(folder() / "converted", run());
  expect_done(1, "embed --run " + path("embedded") + " --set model=" + path("converted") +
                     " --set dataset=" + path("data"));
  EXPECT_EQ(list(1).size(), generations_.size());

  expect_done(2, "checkpoint convert " + named(1) + " " + path("earlier"));
  const json manifest = json::parse(read_text(folder() / "earlier" / kManifestFile));
  EXPECT_EQ(manifest.at("metadata").at("steps"), list(1)[1].at("step"));
  EXPECT_NE(read_text(folder() / "earlier" / kModelFile), read_text(run() / kModelFile));
}

TEST_F(CheckpointTool, ConvertsTheParametersWithoutAnAverageAndLanguageModels) {
  for (const char* kind : {"encoder", "llama"}) {
    const std::string name = std::string("plain_") + kind;
    expect_done(2, train(name, "--set train.steps=6 --set model.kind=" + std::string(kind)));
    expect_done(2, "checkpoint convert " + path(name) + " " + path(name + "_converted"));
    expect_same_model(folder() / (name + "_converted"), folder() / name);
  }
}

TEST_F(CheckpointTool, ConvertTakesTheOneBeforeWhereTheNewestIsDamaged) {
  expect_done(1, "checkpoint convert " + named(1) + " " + path("before"));
  std::string manifest = read_text(generation_folder(generations_[0]) / kManifestFile);
  manifest[manifest.size() / 2] ^= 1;
  testing::write_text(generation_folder(generations_[0]) / kManifestFile, manifest);
  const auto done = checkpoint(2, "convert " + run().string() + " " + path("fallback"));
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("is damaged; taking the one before"), std::string::npos)
      << done.output;
  expect_same_model(folder() / "fallback", folder() / "before");
  expect_refused(65, "convert " + named(0) + " " + path("none"), "manifest.json");
  EXPECT_FALSE(std::filesystem::exists(folder() / "none"));
}

TEST_F(CheckpointTool, TheTokenizerMayHaveMoved) {
  const std::string to = run().string() + " " + path("moved_model");
  std::filesystem::rename(folder() / "data", folder() / "moved");
  expect_refused(65, "convert " + to, "--dataset DIR or --tokenizer FILE");
  expect_done(2, "checkpoint convert " + to + " --dataset " + path("moved"));
  expect_same_model(folder() / "moved_model", run());
  expect_done(1, "checkpoint convert " + to + " --tokenizer " + path("moved/tokenizer.model"));
  expect_refused(65, "convert " + to + " --tokenizer " + path("corpus.jsonl"), "another tokenizer");
  std::filesystem::rename(folder() / "moved", folder() / "data");
}

TEST_F(CheckpointTool, ConvertOverwritesNothingButModels) {
  const std::string manifest = read_text(folder() / "data" / kManifestFile);
  expect_refused(64, "convert " + run().string() + " " + path("data"), "something else");
  EXPECT_EQ(read_text(folder() / "data" / kManifestFile), manifest);
  expect_refused(64, "convert " + run().string() + " " + run().string(), "own folder");
  expect_refused(65, "convert " + path("data") + " " + path("none"), "no checkpoint");
  expect_refused(64, "convert " + run().string() + " x " + path("none"), "GENERATION");
}

TEST_F(CheckpointTool, AnIndexHasCheckpointsButNoModel) {
  testing::write_vectors<float>(folder() / "vectors", testing::clustered_vectors(500, 8, 1), 8);
  expect_done(2, "index --run " + path("index") + " --set vectors=" + path("vectors") +
                     " --set index.nlist=7 --set kmeans.iterations=3");
  const auto table = checkpoint(1, "ls " + path("index"));
  EXPECT_NE(table.output.find("iteration 3"), std::string::npos) << table.output;
  EXPECT_EQ(checkpoint(2, "verify " + path("index")).exit_code, 0);
  expect_refused(65, "convert " + path("index") + " " + path("none"), "k-means");
}

TEST_F(CheckpointTool, NodeLocalFoldersAreLookedInto) {
  const std::string local = path("nodes-{host}"),
                    more = "--set train.steps=40 --set checkpoint.local='" + local + "'";
  expect_done(2, train("noded", more));
  const auto told = checkpoint(1, "ls " + path("noded") + " --json --local '" + local + "'");
  ASSERT_EQ(told.exit_code, 0) << told.output;
  EXPECT_EQ(json::parse(told.output)[0].at("nodes"), 1);
  EXPECT_EQ(checkpoint(2, "verify " + path("noded") + " --local '" + local + "'").exit_code, 0);
}

}  // namespace
}  // namespace tutti
