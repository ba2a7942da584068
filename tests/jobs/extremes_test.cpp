// Jobs at the edges: more ranks than there is work, next to no data, and models that do not fit.
#include <limits>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/io/sealed_json.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;
using testing::write_text;

constexpr int kManyRanks = 5;

class Extremes : public ::testing::Test {
 protected:
  // All jobs, one after the other, on one rank.
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("extremes_test");
    testing::write_corpus(folder() / "corpus.jsonl", 3);
    for (const std::string job : {"shard", "train", "embed", "index", "search"})
      ASSERT_EQ(run(1, job), "") << job;
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string at(const std::string& name) { return (folder() / name).string(); }

  // A job on what its forerunners made on one rank; its own run folder is called JOB1, JOB5.
  static std::string arguments(const std::string& job, const std::string& run,
                               const std::string& more = "") {
    static const std::map<std::string, std::string> settings = {
        {"shard", " --set input.paths=" + at("corpus.jsonl") +
                      " --set shards=2 --set tokenizer.vocabulary=300 --set passage.tokens=24"},
        {"train", " --set dataset=" + at("shard1") +
                      " --set model.width=16 --set model.layers=1 --set model.heads=2 --set "
                      "model.feed_forward=32"
                      " --set model.max_tokens=16 --set batch.global=2 --set batch.micro=1 --set "
                      "train.steps=2"},
        {"embed", " --set model=" + at("train1") + " --set dataset=" + at("shard1")},
        {"index", " --set vectors=" + at("embed1") + " --set index.nlist=2 --set index.shards=2"},
        {"search",
         " --set index=" + at("index1") + " --set model=" + at("train1") + " --text kato"}};
    return job + " --run " + at(run) + settings.at(job) + " " + more;
  }
  // What the job said where it failed.
  static std::string run(int ranks, const std::string& job, const std::string& more = "") {
    const auto done = run_tutti(ranks, arguments(job, job + std::to_string(ranks), more));
    return done.exit_code == 0 ? ""
                               : "exit code " + std::to_string(done.exit_code) + "\n" + done.output;
  }
  static void expect_refused(const std::string& job, const std::string& more, int code,
                             const std::string& said) {
    const auto refused = run_tutti(2, arguments(job, "refused", more));
    EXPECT_EQ(refused.exit_code, code) << more << "\n" << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << more << "\n" << refused.output;
    const std::size_t first = refused.output.find("tutti: error");
    EXPECT_EQ(refused.output.find("tutti: error", first + 1), std::string::npos) << "told twice\n"
                                                                                 << refused.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "refused" / "manifest.json"));
    std::filesystem::remove_all(folder() / "refused");
  }
  static std::string digest_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "manifest.json")).at("digest");
  }
  // A copy of the model with another value in its shape.
  static std::string model_with(const std::string& key, const nlohmann::json& value) {
    std::filesystem::remove_all(folder() / "changed");
    std::filesystem::copy(folder() / "train1", folder() / "changed",
                          std::filesystem::copy_options::recursive);
    nlohmann::json manifest = read_sealed_json(folder() / "changed" / "manifest.json");
    manifest["metadata"]["shape"][key] = value;
    write_sealed_json(folder() / "changed" / "manifest.json", manifest);
    return "--set model=" + at("changed");
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Extremes::scratch_ = nullptr;

TEST_F(Extremes, MoreRanksThanWorkMakeTheSameBytes) {
  for (const std::string job : {"shard", "train", "embed", "index", "search"}) {
    ASSERT_EQ(run(kManyRanks, job), "") << job;
    EXPECT_EQ(digest_of(job + std::to_string(kManyRanks)), digest_of(job + "1")) << job;
  }
}

TEST_F(Extremes, OneDocumentGoesAllTheWay) {
  write_text(folder() / "one.jsonl", R"({"id": 1, "text": "kato"})");
  const auto step = [&](const std::string& job, const std::string& more) {
    const auto done = run_tutti(2, arguments(job, "one_" + job, more));
    ASSERT_EQ(done.exit_code, 0) << job << "\n" << done.output;
  };
  step("shard", "--set input.paths=" + at("one.jsonl") +
                    " --set tokenizer.model=" + at("shard1/tokenizer.model"));
  step("embed", "--set dataset=" + at("one_shard"));
  step("index", "--set index.nlist=1 --set vectors=" + at("one_embed"));
  step("search", "--set index=" + at("one_index"));
  expect_refused("train", "--set dataset=" + at("one_shard"), 65, "no training document");
}

TEST_F(Extremes, NothingToWorkOnIsSaid) {
  write_text(folder() / "empty.jsonl", "");
  write_text(folder() / "bad.jsonl", "{\"id\": 1}\nno record\n");
  const std::string with_tokenizer = "--set tokenizer.model=" + at("shard1/tokenizer.model") + " ";
  expect_refused("shard", with_tokenizer + "--set input.paths=" + at("empty.jsonl"), 65,
                 "empty.jsonl");
  const std::string all_bad = "--set on_bad_record=skip --set input.paths=" + at("bad.jsonl");
  expect_refused("shard", with_tokenizer + all_bad, 65, "no text");

  // Vectors that are all bad make an artefact without any, which no job takes for more.
  const float nan[] = {std::numeric_limits<float>::quiet_NaN(), 0};
  write_text(folder() / "nan.fbin",
             std::string("\1\0\0\0\2\0\0\0", 8) +
                 std::string(reinterpret_cast<const char*>(nan), sizeof(nan)));
  const std::string skip = " --set on_bad_record=skip --set input.paths=";
  const auto none = run_tutti(2, "shard --run " + at("none") + skip + at("nan.fbin"));
  EXPECT_EQ(none.exit_code, 0) << none.output;
  expect_refused("index", "--set vectors=" + at("none"), 65, "no vectors");
  expect_refused("embed", "--set dataset=" + at("none"), 65, "vectors");
}

TEST_F(Extremes, ATokenizerThatIsCutOffIsNamed) {
  const std::string bytes = read_text(folder() / "shard1" / "tokenizer.model");
  write_text(folder() / "cut.model", bytes.substr(0, bytes.size() / 2));
  expect_refused("shard", "--set tokenizer.model=" + at("cut.model"), 65, "cut.model");
  std::filesystem::copy(folder() / "train1", folder() / "cut",
                        std::filesystem::copy_options::recursive);
  write_text(folder() / "cut" / "tokenizer.model", bytes.substr(0, bytes.size() - 40));
  expect_refused("search", "--set model=" + at("cut"), 65, "tokenizer.model");
}

TEST_F(Extremes, AModelThatDoesNotFitIsRefused) {
  expect_refused("embed", model_with("vocabulary", 270), 65, "token.embedding");
  expect_refused("embed", model_with("width", 1 << 30), 65, "encoder");
  expect_refused("embed", model_with("layers", 1e300), 65, "encoder");
}

}  // namespace
}  // namespace tutti
