// import and export as a user starts them, and training that goes on from what was imported.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/jobs/golden.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"

namespace tutti {
namespace {

using testing::golden_folder;
using testing::read_text;
using testing::run_tutti;

class HuggingFace : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("hugging_face_test");
    for (const std::string& name : testing::golden_names()) {
      const auto done = import_from(1, golden_folder(name), name);
      ASSERT_EQ(done.exit_code, 0) << done.output;
    }
    testing::write_corpus(folder() / "corpus.jsonl", 40);
    const auto sharded = run_tutti(1, "shard --run " + path("data") + " --set input.paths='[\"" +
                                          path("corpus.jsonl") + "\"]' --set tokenizer.model=" +
                                          (golden_folder("llama") / "tokenizer.json").string());
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static testing::CommandResult import_from(int ranks, const std::filesystem::path& from,
                                            const std::string& run) {
    return run_tutti(ranks, "import --set import.from=" + from.string() + " --run " + path(run));
  }
  static testing::CommandResult export_to(const std::string& model, const std::string& run,
                                          const std::string& more = "") {
    return run_tutti(1, "export --set export.model=" + path(model) + " --run " + path(run) + more);
  }
  static testing::CommandResult train(int ranks, const std::string& run, const std::string& more) {
    return run_tutti(ranks, "train --run " + path(run) + " --set dataset=" + path("data") +
                                " --set model.max_tokens=24 --set train.steps=3 "
                                "--set batch.global=8 --set batch.micro=2 " +
                                more);
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "result.json"));
  }
  static void expect_same_model(const std::filesystem::path& expected,
                                const std::filesystem::path& found) {
    for (const auto& entry : std::filesystem::directory_iterator(expected)) {
      const auto name = entry.path().filename();
      const bool ours = name == "golden.json" || name == "config.toml" || name == "events.jsonl" ||
                        name == "log.txt" || name == "result.json" || name == "run.lock" ||
                        name == "run.ranks";
      if (ours) continue;
      EXPECT_EQ(read_text(entry.path()), read_text(found / name)) << found / name;
    }
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* HuggingFace::scratch_ = nullptr;

TEST_F(HuggingFace, WhatIsImportedIsExportedByteForByte) {
  for (const std::string& name : testing::golden_names()) {
    const std::string out = "out_" + name;
    const bool cut = std::filesystem::exists(golden_folder(name) / "model.safetensors.index.json");
    const auto done = export_to(name, out, cut ? " --set export.shard_bytes=20000" : "");
    ASSERT_EQ(done.exit_code, 0) << done.output;
    expect_same_model(golden_folder(name), folder() / out);
  }
}

TEST_F(HuggingFace, AnotherTypeOfTensorsComesBackTheSame) {
  for (const std::string type : {"bf16", "f16"}) {
    const std::string first = "first_" + type, model = "model_" + type, second = "second_" + type;
    ASSERT_EQ(export_to("llama", first, " --set export.dtype=" + type).exit_code, 0);
    ASSERT_EQ(import_from(1, folder() / first, model).exit_code, 0);
    ASSERT_EQ(export_to(model, second).exit_code, 0);
    expect_same_model(folder() / first, folder() / second);
    EXPECT_NE(
        read_text(folder() / second / "config.json").find(type == "f16" ? "float16" : "bfloat16"),
        std::string::npos);
  }
}

TEST_F(HuggingFace, AnyNumberOfRanksImportsTheSameModel) {
  ASSERT_EQ(import_from(3, golden_folder("qwen2"), "qwen2_3").exit_code, 0);
  EXPECT_EQ(result_of("qwen2_3")["model_digest"], result_of("qwen2")["model_digest"]);
}

TEST_F(HuggingFace, InspectDescribesAnImportedModel) {
  const auto told = run_tutti(2, "inspect " + path("mistral"));
  ASSERT_EQ(told.exit_code, 0) << told.output;
  for (const char* text :
       {"architecture: decoder", "6992 parameters", "\"window\":5", "every checksum is right"})
    EXPECT_NE(told.output.find(text), std::string::npos) << told.output;
  EXPECT_EQ(told.output.find("MistralForCausalLM"), std::string::npos) << "whole files are named";
  const auto json = run_tutti(1, "inspect --json " + path("mistral"));
  EXPECT_EQ(nlohmann::json::parse(json.output)["parameters"], 6992);
}

TEST_F(HuggingFace, TrainingGoesOnFromAnImportedModelTheSameOnAnyNumberOfRanks) {
  for (const std::string& name : testing::golden_names()) {
    const std::string from = "--set model.from=" + path(name);
    const auto one = train(1, name + "_1", from), two = train(2, name + "_2", from);
    ASSERT_EQ(one.exit_code, 0) << one.output;
    ASSERT_EQ(two.exit_code, 0) << two.output;
    EXPECT_EQ(result_of(name + "_1")["model_digest"], result_of(name + "_2")["model_digest"]);
    EXPECT_NE(result_of(name + "_1")["model_digest"], result_of(name)["model_digest"]);
  }
  // No step leaves the model as it was; what was trained goes the same way back.
  ASSERT_EQ(
      train(1, "untrained", "--set train.steps=0 --set model.from=" + path("llama")).exit_code, 0);
  EXPECT_EQ(result_of("untrained")["model_digest"], result_of("llama")["model_digest"]);
  ASSERT_EQ(export_to("llama_1", "trained_out").exit_code, 0);
  EXPECT_EQ(read_text(folder() / "trained_out" / "config.json"),
            read_text(golden_folder("llama") / "config.json"));
}

TEST_F(HuggingFace, AModelOfOurOwnIsExportedAndImportedAgain) {
  for (const std::string kind : {"gpt2", "llama"}) {
    const auto trained = train(2, "own_" + kind,
                               "--set model.width=32 --set model.layers=2 --set model.heads=4 "
                               "--set data.separator='<|endoftext|>' --set model.kind=" +
                                   kind);
    ASSERT_EQ(trained.exit_code, 0) << trained.output;
    ASSERT_EQ(export_to("own_" + kind, "own_out_" + kind).exit_code, 0);
    ASSERT_EQ(import_from(1, folder() / ("own_out_" + kind), "own_again_" + kind).exit_code, 0);
    EXPECT_EQ(result_of("own_again_" + kind)["model_digest"],
              result_of("own_" + kind)["model_digest"]);
    const auto further = train(2, "further_" + kind, "--set model.from=" + path("own_" + kind));
    EXPECT_EQ(further.exit_code, 0) << "with the separator of the model\n" << further.output;
  }
}

TEST_F(HuggingFace, MistakesEndWithTheirCode) {
  const auto expect = [](const testing::CommandResult& done, int code, const std::string& text) {
    EXPECT_EQ(done.exit_code, code) << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << done.output;
  };
  expect(import_from(2, folder() / "nothing", "bad"), 65, "config.json");
  expect(run_tutti(1, "import --run " + path("bad")), 64, "import.from");
  std::filesystem::copy(golden_folder("gpt2"), folder() / "here");
  expect(import_from(2, folder() / "here", "here"), 64, "another --run folder");
  EXPECT_FALSE(std::filesystem::exists(folder() / "bad" / "manifest.json"));
  expect(export_to("data", "bad_out"), 65, "model");
  expect(run_tutti(1, "export --set export.model=" + path("llama") + " --run " + path("llama")), 64,
         "artefact");
  const std::string from = "--set model.from=" + path("gpt2") + " ";
  expect(train(2, "bad_train", from + "--set model.width=32"), 64, "model.from");
  expect(train(2, "bad_train", from + "--set model.max_tokens=65"), 64, "model.max_tokens");
  expect(train(2, "bad_train", "--set model.from=" + path("data")), 65, "model");
  const auto other = run_tutti(1, "shard --run " + path("other") +
                                      " --set tokenizer.vocabulary=300 "
                                      "--set input.paths='[\"" +
                                      path("corpus.jsonl") + "\"]'");
  ASSERT_EQ(other.exit_code, 0) << other.output;
  expect(train(2, "bad_train", from + "--set dataset=" + path("other")), 64,
         "different tokenizers");
}

TEST_F(HuggingFace, AnotherModelToStartFromDoesNotGoOnFromACheckpoint) {
  ASSERT_EQ(train(1, "restarted", "--set model.from=" + path("gpt2")).exit_code, 0);
  ASSERT_EQ(import_from(1, golden_folder("gpt2"), "gpt2_again").exit_code, 0);
  EXPECT_EQ(train(1, "restarted", "--set model.from=" + path("gpt2_again")).exit_code, 0);
  EXPECT_EQ(train(1, "restarted", "--set model.from=" + path("gpt2_1")).exit_code, 64);
  EXPECT_EQ(
      train(1, "restarted", "--set model.max_tokens=20 --set model.from=" + path("gpt2")).exit_code,
      64);
}

TEST_F(HuggingFace, GenerationChoosesNoEmbeddingWithoutAPiece) {
  // The golden models embed 96 tokens, their tokenizer has 80.
  std::string prompts;
  for (int i = 0; i < 20; ++i) prompts += "{\"prompt\": \"the\"}\n";
  testing::write_text(folder() / "padded.jsonl", prompts);
  for (const std::string& name : testing::golden_names()) {
    const auto done =
        run_tutti(2, "generate --run " + path("padded_" + name) + " --set model=" + path(name) +
                         " --set prompts=" + path("padded.jsonl") +
                         " --set generate.temperature=3 --set generate.max_tokens=8");
    EXPECT_EQ(done.exit_code, 0) << name << "\n" << done.output;
  }
}

}  // namespace
}  // namespace tutti
