// The generate job as a user starts it: the same completions on any number of ranks, killed or not.
#include <sstream>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;
using testing::write_text;

class Generate : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("generate_test");
    testing::write_corpus(folder() / "corpus.jsonl", 120);
    write_text(folder() / "data.toml",
               "shards = 3\n[input]\npaths = [\"" + (folder() / "corpus.jsonl").string() +
                   "\"]\n[tokenizer]\nvocabulary = 300\n[passage]\ntokens = 0\n");
    write_text(folder() / "model.toml", "dataset = \"" + (folder() / "data").string() +
                                            "\"\n[model]\nkind = \"llama\"\nwidth = 32\nlayers = "
                                            "2\nheads = 2\nkv_heads = 1\nmax_tokens = 40\n"
                                            "[batch]\nglobal = 16\nmicro = 4\n[train]\nsteps = "
                                            "60\n[optimizer]\nlearning_rate = 0.01\n");
    for (const char* job : {"shard data", "train model"}) {
      const std::string name = std::string(job).substr(6);
      const auto done =
          run_tutti(2, std::string(job).substr(0, 6) + (folder() / (name + ".toml")).string());
      ASSERT_EQ(done.exit_code, 0) << done.output;
    }
    std::string prompts;
    for (int i = 0; i < 23; ++i)
      prompts +=
          nlohmann::json({{"prompt", std::string(std::size_t(i % 7), 'k') + "a to"}, {"id", i}})
              .dump() +
          "\n";
    write_text(folder() / "prompts.jsonl", prompts);
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "generate --run " + (folder() / run).string() +
           " --set model=" + (folder() / "model").string() +
           " --set prompts=" + (folder() / "prompts.jsonl").string() +
           " --set batch.size=4 --set generate.max_tokens=12 --set generate.temperature=0.8 " +
           more;
  }
  static std::vector<nlohmann::json> completions(const std::string& run) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(read_text(folder() / run / "completions.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Generate::scratch_ = nullptr;

TEST_F(Generate, TheSameCompletionsOnAnyNumberOfRanks) {
  for (const int ranks : {1, 2, 4, 7}) {
    const auto done = run_tutti(ranks, arguments("ranks" + std::to_string(ranks)));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(read_text(folder() / ("ranks" + std::to_string(ranks)) / "completions.jsonl"),
              read_text(folder() / "ranks1" / "completions.jsonl"));
  }
  const auto lines = completions("ranks1");
  ASSERT_EQ(lines.size(), 23u);
  int written = 0;  // chance may end a text at once, on some processor
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["custom_id"], std::to_string(i));
    const nlohmann::json& body = lines[i]["response"]["body"];
    EXPECT_LE(body["usage"]["completion_tokens"], 12);
    written += !body["choices"][0]["text"].get<std::string>().empty();
  }
  EXPECT_GE(written, 10);
  EXPECT_EQ(run_tutti(1, "inspect " + (folder() / "ranks1").string()).exit_code, 0);
}

TEST_F(Generate, GreedyCompletionsDoNotDependOnTheBatch) {
  const std::string greedy = "--set generate.temperature=0 --set generate.dtype=f32 ";
  ASSERT_EQ(run_tutti(2, arguments("batch4", greedy)).exit_code, 0);
  ASSERT_EQ(run_tutti(2, arguments("batch23", greedy + "--set batch.size=23")).exit_code, 0);
  EXPECT_EQ(completions("batch4"), completions("batch23"));
}

TEST_F(Generate, StoppedAndStartedAgain) {
  ASSERT_EQ(run_tutti(2, arguments("whole")).exit_code, 0);
  EXPECT_EQ(run_tutti(2, arguments("stopped", "--max-time 0.001s")).exit_code, 75);
  // Finished batches are taken as they are: one that a stopped run left stands for itself.
  const std::string key = read_text(folder() / "stopped" / "batches.key");
  EXPECT_FALSE(key.empty());
  write_text(folder() / "stopped" / "batch-00000001.jsonl", "{\"marked\": true}\n");
  ASSERT_EQ(run_tutti(3, arguments("stopped")).exit_code, 0);
  EXPECT_EQ(completions("stopped")[4], nlohmann::json({{"marked", true}}));
  // Other options begin anew.
  EXPECT_EQ(run_tutti(2, arguments("other", "--max-time 0.001s")).exit_code, 75);
  write_text(folder() / "other" / "batch-00000001.jsonl", "{\"marked\": true}\n");
  ASSERT_EQ(
      run_tutti(2, arguments("other", "--set generate.seed=1 --set generate.top_k=3")).exit_code,
      0);
  EXPECT_EQ(completions("other").size(), 23u);
}

TEST_F(Generate, RequestsOfTheBatchInterface) {
  write_text(
      folder() / "requests.jsonl",
      R"({"custom_id": "one", "method": "POST", "url": "/v1/completions", "body": {"prompt": "ka to", "max_tokens": 3, "temperature": 0}})"
      "\n"
      R"({"custom_id": "two", "body": {"prompt": ")" +
          std::string(3000, 'k') + "\"}}\n");
  const auto done = run_tutti(
      1, arguments("requests", "--set prompts=" + (folder() / "requests.jsonl").string()));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  const auto lines = completions("requests");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_LE(lines[0]["response"]["body"]["usage"]["completion_tokens"], 3);
  EXPECT_TRUE(lines[1]["response"].is_null());
  EXPECT_EQ(lines[1]["error"]["code"], "invalid_prompt");
}

TEST_F(Generate, APromptOnTheCommandLineIsAnswered) {
  const auto done =
      run_tutti(2, "generate --run " + (folder() / "asked").string() +
                       " --set model=" + (folder() / "model").string() + " --text \"ka to\"");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("\nka to"), std::string::npos) << done.output;
}

TEST_F(Generate, MistakesEndWithTheirCodeAndSayWhatToDo) {
  const auto expect = [&](const std::string& more, int code, const std::string& text) {
    const auto done = run_tutti(2, arguments("mistake", more));
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << more << "\n" << done.output;
  };
  write_text(folder() / "bad.jsonl", "{\"prompt\": \"x\"}\n{\"prompt\": 3}\n");
  expect("--set prompts=" + (folder() / "bad.jsonl").string(), 65, "bad.jsonl:2");
  expect("--set prompts=/nonexistent.jsonl", 64, "/nonexistent.jsonl");
  expect("--set generate.top_p=2", 64, "generate.");
  expect("--set model=" + (folder() / "data").string(), 65, "model");
}

}  // namespace
}  // namespace tutti
