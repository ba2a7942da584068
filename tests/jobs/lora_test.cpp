// Low-rank adapters as a user trains them: beside an imported model, for PEFT, and merged again.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/paths.h"
#include "runtime/data/safetensors.h"
#include "tests/jobs/golden.h"
#include "tests/support/command.h"
#include "tests/support/killed_run.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::read_text;
using testing::run_tutti;
using testing::write_text;

class Lora : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("lora_test");
    std::ofstream pairs(folder() / "pairs.jsonl");
    for (int i = 0; i < 24; ++i)
      pairs << json({{"prompt", "number " + std::to_string(i)},
                     {"completion", " is " + std::to_string(i * 7 % 10)}})
                   .dump()
            << "\n";
    pairs.close();
    for (const char* family : {"llama", "gpt2"}) prepare(family);
  }
  static void TearDownTestSuite() { delete scratch_; }

  static void prepare(const std::string& family) {
    const std::string base = path("base_" + family);
    expect_done(1, "import --run " + base +
                       " --set import.from=" + testing::golden_folder(family).string());
    write_text(folder() / (family + "_data.toml"),
               "[input]\npaths = [\"" + path("pairs.jsonl") +
                   "\"]\n[examples]\nformat = \"completion\"\nend = \"<|endoftext|>\"\n"
                   "[tokenizer]\nmodel = \"" +
                   base + "/tokenizer.model\"\n[split]\nheldout = 0\n");
    expect_done(2, "shard " + path(family + "_data.toml") + " --run " + path("data_" + family));
    write_text(folder() / (family + ".toml"),
               "dataset = \"" + path("data_" + family) + "\"\n[model]\nfrom = \"" + base +
                   "\"\nmax_tokens = 32\n[lora]\nrank = 4\n[batch]\nglobal = 8\nmicro = 2\n"
                   "[train]\nsteps = 30\n[optimizer]\nlearning_rate = 0.02\n");
  }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static std::string train(const std::string& family, const std::string& run,
                           const std::string& more = "") {
    return "train " + path(family + ".toml") + " --run " + path(run) + " " + more;
  }
  static void expect_done(int ranks, const std::string& command) {
    const auto done = run_tutti(ranks, command);
    ASSERT_EQ(done.exit_code, 0) << command << "\n" << done.output;
  }
  static void expect_refused(const std::string& command, int code, const std::string& said) {
    const auto refused = run_tutti(2, command);
    EXPECT_EQ(refused.exit_code, code) << command << "\n" << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << command << "\n" << refused.output;
  }
  static json result_of(const std::string& run) {
    return json::parse(read_text(folder() / run / kResultFile));
  }
  static std::vector<std::string> completions(const std::string& model, const std::string& run) {
    expect_done(1, "generate --run " + path(run) + " --set model=" + path(model) +
                       " --set prompts=" + path("pairs.jsonl") +
                       " --set generate.temperature=0 --set generate.max_tokens=8"
                       " --set generate.dtype=f32");
    std::vector<std::string> texts;
    std::istringstream lines(read_text(folder() / run / "completions.jsonl"));
    for (std::string line; std::getline(lines, line);)
      texts.push_back(json::parse(line)["response"]["body"]["choices"][0]["text"]);
    EXPECT_EQ(texts.size(), 24u);
    return texts;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Lora::scratch_ = nullptr;

TEST_F(Lora, TheSameAdaptersOnAnyNumberOfRanksAndAcrossKills) {
  for (const char* name : {"llama", "gpt2"}) {
    const std::string family = name;
    expect_done(1, train(family, family + "_1"));
    const json whole = result_of(family + "_1");
    for (const int ranks : {2, 4}) {
      const std::string run = family + "_" + std::to_string(ranks);
      expect_done(ranks, train(family, run));
      EXPECT_EQ(result_of(run)["model_digest"], whole["model_digest"]) << ranks << " ranks";
    }
    const auto killed =
        testing::run_with_kills(train(family, family + "_killed", "--set checkpoint.every=10ms"),
                                folder() / (family + "_killed"), {2, 1}, 3);
    ASSERT_EQ(killed.exit_code, 0) << killed.output;
    EXPECT_EQ(result_of(family + "_killed")["model_digest"], whole["model_digest"]);
    // Activations are computed once more unless that is switched off.
    expect_done(2, train(family, family + "_kept", "--set train.recompute=false"));
    EXPECT_EQ(result_of(family + "_kept")["model_digest"], whole["model_digest"]);
  }
}

TEST_F(Lora, AdaptersAnswerAsTheMergedModelDoes) {
  for (const char* name : {"llama", "gpt2"}) {
    const std::string family = name;
    expect_done(2, train(family, family + "_tuned", "--set train.dtype=f32"));
    expect_done(1, "export --run " + path(family + "_merged") + " --set export.merge=true " +
                       "--set export.model=" + path(family + "_tuned"));
    expect_done(1, "import --run " + path(family + "_back") +
                       " --set import.from=" + path(family + "_merged"));
    const auto ours = completions(family + "_tuned", family + "_ours");
    EXPECT_EQ(ours, completions(family + "_back", family + "_theirs"));
    EXPECT_NE(ours, completions("base_" + family, family + "_before"));
    // What was trained goes on as a whole model, too.
    expect_done(1, "train " + path(family + ".toml") + " --run " + path(family + "_on") +
                       " --set lora.rank=0 --set train.steps=0 --set model.from=" +
                       path(family + "_tuned"));
    EXPECT_EQ(read_text(folder() / (family + "_on") / kModelFile),
              read_text(folder() / (family + "_back") / kModelFile));
  }
}

TEST_F(Lora, ACheckpointBecomesTheAdaptersThatTheRunSaved) {
  expect_done(2, train("gpt2", "kept"));
  expect_done(1, "checkpoint convert " + path("kept") + " " + path("converted"));
  for (const char* file : {kManifestFile, kModelFile, kTokenizerFile})
    EXPECT_EQ(read_text(folder() / "converted" / file), read_text(folder() / "kept" / file))
        << file;
  EXPECT_EQ(completions("converted", "converted_says"), completions("kept", "kept_says"));
}

using Shape = std::vector<std::int64_t>;

// Of no extents where there is no such tensor.
Shape shape_of(const SafetensorsFile& file, const std::string& name) {
  for (const TensorEntry& tensor : file.tensors())
    if (tensor.name == name) return tensor.shape;
  return {};
}

TEST_F(Lora, PeftsFilesNameTheModules) {
  expect_done(1, train("gpt2", "few", "--set 'lora.modules=[\"c_attn\", \"mlp.c_proj\"]'"));
  expect_done(1, "export --run " + path("peft") + " --set export.model=" + path("few"));
  const json config = json::parse(read_text(folder() / "peft" / "adapter_config.json"));
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["r"], 4);
  EXPECT_EQ(config["lora_alpha"], 16.0);
  EXPECT_EQ(config["fan_in_fan_out"], true);
  EXPECT_EQ(config["target_modules"], json({"attn.c_attn", "mlp.c_proj"}));
  const SafetensorsFile file(folder() / "peft" / "adapter_model.safetensors");
  EXPECT_EQ(file.tensors().size(), 8u);
  const std::string layer = "base_model.model.transformer.h.1.";
  EXPECT_EQ(shape_of(file, layer + "mlp.c_proj.lora_A.weight"), (Shape{4, 64}));
  EXPECT_EQ(shape_of(file, layer + "attn.c_attn.lora_B.weight"), (Shape{48, 4}));
}

TEST_F(Lora, MistakesEndWithTheirCode) {
  expect_refused(train("llama", "mistake", "--set 'lora.modules=[\"c_attn\"]'"), 64, "q_proj");
  expect_refused(train("llama", "mistake", "--set lora.rank=-1"), 64, "lora");
  expect_refused(train("llama", "mistake", "--set lora.rank=0 --set 'lora.modules=[\"q_proj\"]'"),
                 64, "lora.rank");
  expect_refused(train("llama", "mistake", "--set model.from="), 64, "model.from");

  expect_done(1, train("llama", "small", "--set train.steps=1"));
  expect_refused(train("llama", "mistake", "--set model.from=" + path("small")), 64,
                 "export.merge");
  expect_refused(train("llama", "small", "--set train.steps=1 --set lora.alpha=8"), 64,
                 "another model");

  std::filesystem::rename(path("base_llama"), path("hidden"));
  expect_refused("export --run " + path("mistake_out") + " --set export.model=" + path("small"), 65,
                 "base model");
  std::filesystem::rename(path("base_gpt2"), path("base_llama"));
  expect_refused("export --run " + path("mistake_out") + " --set export.model=" + path("small"), 65,
                 "another base model");
  std::filesystem::rename(path("base_llama"), path("base_gpt2"));
  std::filesystem::rename(path("hidden"), path("base_llama"));
}

}  // namespace
}  // namespace tutti
