// An encoder of BERT's family as a user has it: import, embed, train further, evaluate, search and
// export.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/safetensors.h"
#include "tests/jobs/golden.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"

namespace tutti {
namespace {

using testing::golden_folder;
using testing::read_text;
using testing::run_tutti;

class Bert : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("bert_test");
    testing::write_corpus(folder() / "corpus.jsonl", 60);
    expect_done("import --run " + path("bert") +
                " --set import.from=" + golden_folder("bert").string());
    expect_done("shard --run " + path("data") + " --set input.paths='[\"" + path("corpus.jsonl") +
                "\"]' --set shards=3 --set passage.tokens=80 --set split.heldout=0.3" +
                " --set tokenizer.model=" + (golden_folder("bert") / "tokenizer.json").string());
    std::string pairs;
    for (int i = 0; i < 37; ++i)
      pairs += "{\"sentence1\": \"" + sentence(i, 5) + "\", \"sentence2\": \"" +
               sentence(i * i, 1 + i % 60) + "\", \"score\": " + std::to_string(i % 6) + "}\n";
    testing::write_text(folder() / "pairs.jsonl", pairs);
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static void expect_done(const std::string& arguments, int ranks = 1) {
    const auto done = run_tutti(ranks, arguments);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "result.json"));
  }
  // Without what a clock tells.
  static std::vector<nlohmann::json> evaluations_of(const std::string& run) {
    std::vector<nlohmann::json> all;
    std::ifstream events(folder() / run / "events.jsonl");
    for (std::string line; std::getline(events, line);) {
      const auto event = nlohmann::json::parse(line);
      if (event["event"] != "evaluation") continue;
      all.push_back({{"step", event["step"]},
                     {"heldout_recall", event["heldout_recall"]},
                     {"sts_spearman", event.value("sts_spearman", nlohmann::json())}});
    }
    return all;
  }
  static std::string sentence(int seed, int words) {
    static const char* const kWords[] = {"katomi", "ren sul", "bo", "tavin", "el", "dro", "palu"};
    std::string text;
    for (int i = 0; i < words; ++i) text += std::string(i ? " " : "") + kWords[(seed + i * i) % 7];
    return text;
  }
  static std::string train(const std::string& run, const std::string& more = "") {
    return "train --run " + path(run) + " --set dataset=" + path("data") +
           " --set model.from=" + path("bert") +
           " --set model.max_tokens=32 --set train.steps=4 --set train.dtype=f32"
           " --set batch.global=12 --set batch.micro=3" +
           more;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Bert::scratch_ = nullptr;

TEST_F(Bert, WhatIsImportedIsExportedByteForByte) {
  expect_done("export --run " + path("out") + " --set export.model=" + path("bert"));
  for (const char* file :
       {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"})
    EXPECT_EQ(read_text(folder() / "out" / file), read_text(golden_folder("bert") / file)) << file;
}

TEST_F(Bert, FilesOfSentenceTransformersGoBothWays) {
  const auto from = folder() / "sentence";
  std::filesystem::copy(golden_folder("bert"), from);
  std::filesystem::create_directory(from / "1_Pooling");
  testing::write_text(from / "1_Pooling" / "config.json", "{\"pooling_mode_cls_token\": true}");
  testing::write_text(from / "sentence_bert_config.json", "{\"max_seq_length\": 20}");
  expect_done("import --run " + path("cls") + " --set import.from=" + from.string());
  expect_done("export --run " + path("cls_out") + " --set export.model=" + path("cls"));
  for (const char* file : {"1_Pooling/config.json", "sentence_bert_config.json"})
    EXPECT_EQ(read_text(folder() / "cls_out" / file), read_text(from / file)) << file;
  expect_done("embed --run " + path("cls_vectors") + " --set dataset=" + path("data") +
              " --set model=" + path("cls"));
}

TEST_F(Bert, EmbedsTheSameOnAnyNumberOfRanks) {
  for (const int ranks : {1, 2, 4})
    expect_done("embed --run " + path("vectors" + std::to_string(ranks)) +
                    " --set dataset=" + path("data") + " --set model=" + path("bert"),
                ranks);
  const auto digest = result_of("vectors1")["vectors_digest"];
  EXPECT_EQ(result_of("vectors2")["vectors_digest"], digest);
  EXPECT_EQ(result_of("vectors4")["vectors_digest"], digest);
}

TEST_F(Bert, QueriesAndPassagesHaveTheSameForm) {
  // A passage's own text, longer than the model takes, finds it with a cosine of one.
  testing::write_text(folder() / "one.jsonl", "{\"id\": \"a\", \"text\": \"" + sentence(3, 70) +
                                                  "\"}\n{\"id\": \"b\", \"text\": \"bo bo\"}\n");
  expect_done("shard --run " + path("one") + " --set input.paths='[\"" + path("one.jsonl") +
              "\"]' --set passage.tokens=0 --set shards=1 --set tokenizer.model=" +
              (golden_folder("bert") / "tokenizer.json").string());
  expect_done("embed --run " + path("one_vectors") + " --set dataset=" + path("one") +
              " --set model=" + path("bert"));
  expect_done("index --run " + path("one_index") + " --set vectors=" + path("one_vectors") +
              " --set index.nlist=1");
  const auto found =
      run_tutti(2, "search --run " + path("asked") + " --set index=" + path("one_index") +
                       " --set model=" + path("bert") + " --text '" + sentence(3, 70) + "'");
  ASSERT_EQ(found.exit_code, 0) << found.output;
  EXPECT_NE(found.output.find("1  1.000  \n     tavin"), std::string::npos) << found.output;
}

TEST_F(Bert, TrainsFurtherTheSameOnAnyNumberOfRanksAndGoesBack) {
  expect_done(train("trained_1"));
  expect_done(train("trained_2"), 2);
  EXPECT_EQ(result_of("trained_2")["model_digest"], result_of("trained_1")["model_digest"]);
  EXPECT_NE(result_of("trained_1")["model_digest"], result_of("bert")["model_digest"]);
  expect_done(train("untrained", " --set train.steps=0"));
  EXPECT_EQ(result_of("untrained")["model_digest"], result_of("bert")["model_digest"]);
  expect_done("export --run " + path("trained_out") + " --set export.model=" + path("trained_1"));
  EXPECT_EQ(read_text(folder() / "trained_out" / "config.json"),
            read_text(golden_folder("bert") / "config.json"));
  // What takes no part has not changed by a bit.
  const auto tensor = [](const std::filesystem::path& from, const char* name) {
    const SafetensorsFolder tensors(from);
    std::vector<float> values(std::size_t(tensors.find(name)->elements()));
    tensors.read(name, values);
    return values;
  };
  EXPECT_EQ(tensor(folder() / "trained_out", "pooler.dense.weight"),
            tensor(golden_folder("bert"), "pooler.dense.weight"));
  const auto before = tensor(golden_folder("bert"), "embeddings.token_type_embeddings.weight"),
             after = tensor(folder() / "trained_out", "embeddings.token_type_embeddings.weight");
  EXPECT_NE(before[0], after[0]);
  for (std::size_t i = 16; i < 32; ++i) EXPECT_EQ(before[i], after[i]);
  expect_done("import --run " + path("again") + " --set import.from=" + path("trained_out"));
  EXPECT_EQ(result_of("again")["model_digest"], result_of("trained_1")["model_digest"]);
}

TEST_F(Bert, EvaluatesRetrievalAndSimilarityTheSameOnAnyNumberOfRanks) {
  const std::string arguments = " --set model=" + path("bert") + " --set dataset=" + path("data") +
                                " --set sts.file=" + path("pairs.jsonl") +
                                " --set embed.block=4 --set evaluate.bm25=false";
  for (const int ranks : {1, 2, 3})
    expect_done("evaluate --run " + path("evaluated" + std::to_string(ranks)) + arguments, ranks);
  const auto one = result_of("evaluated1");
  EXPECT_EQ(one["sts_pairs"], 37);
  EXPECT_LE(std::abs(one["sts_spearman"].get<double>()), 1);
  for (const char* run : {"evaluated2", "evaluated3"})
    for (const char* figure : {"sts_spearman", "trained_recall", "untrained_recall"})
      EXPECT_EQ(result_of(run)[figure], one[figure]) << run << " " << figure;
  expect_done("evaluate --run " + path("similar") + " --set model=" + path("bert") +
              " --set embed.block=4 --set sts.file=" + path("pairs.jsonl"));
  EXPECT_EQ(result_of("similar")["sts_spearman"], one["sts_spearman"]);
  EXPECT_FALSE(result_of("similar").contains("trained_recall"));
}

TEST_F(Bert, TrainingMeasuresAsTheEvaluateJobDoesOnAnyNumberOfRanks) {
  const std::string measured =
      " --set evaluate.k=2 --set evaluate.queries=9 --set evaluate.passages=200"
      " --set sts.file=" +
      path("pairs.jsonl");
  for (const int ranks : {1, 2, 4})
    expect_done(train("measured" + std::to_string(ranks), measured + " --set evaluate.every=2"),
                ranks);
  const auto one = evaluations_of("measured1");
  ASSERT_EQ(one.size(), 2);
  EXPECT_EQ(one[0]["step"], 2);
  EXPECT_NE(one[0]["sts_spearman"], one[1]["sts_spearman"]);
  EXPECT_EQ(evaluations_of("measured2"), one);
  EXPECT_EQ(evaluations_of("measured4"), one);
  const auto last = result_of("measured1");
  EXPECT_EQ(last["heldout_recall"], one[1]["heldout_recall"]);
  EXPECT_EQ(last["sts_spearman"], one[1]["sts_spearman"]);
  expect_done("evaluate --run " + path("measured_later") + " --set model=" + path("measured2") +
              " --set dataset=" + path("data") + measured +
              " --set embed.block=3 --set evaluate.dtype=f32 --set evaluate.bm25=false");
  const auto later = result_of("measured_later");
  EXPECT_EQ(later["trained_recall"], last["heldout_recall"]);
  EXPECT_EQ(later["sts_spearman"], last["sts_spearman"]);
  EXPECT_GT(last["heldout_recall"], 0);
  EXPECT_LT(last["heldout_recall"], 1);
  EXPECT_LE(later["passages"], 200);
}

TEST_F(Bert, TrainingMeasuresNothingWhereNothingIsHeldOut) {
  expect_done("shard --run " + path("all") + " --set input.paths='[\"" + path("corpus.jsonl") +
              "\"]' --set shards=2 --set passage.tokens=80 --set split.heldout=0" +
              " --set tokenizer.model=" + (golden_folder("bert") / "tokenizer.json").string());
  expect_done(train("unmeasured", " --set evaluate.every=2 --set dataset=" + path("all")));
  EXPECT_TRUE(evaluations_of("unmeasured").empty());
  EXPECT_FALSE(result_of("unmeasured").contains("heldout_recall"));
}

TEST_F(Bert, MistakesEndWithTheirCode) {
  const auto expect = [](const testing::CommandResult& done, int code, const std::string& text) {
    EXPECT_EQ(done.exit_code, code) << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << done.output;
  };
  expect(run_tutti(2, train("bad", " --set model.max_tokens=65")), 64, "model.max_tokens");
  expect(run_tutti(1, train("bad", " --set model.max_tokens=2")), 64, "model.max_tokens");
  expect(run_tutti(1, train("bad", " --set model.width=32")), 64, "model.from");
  const std::string evaluate = "evaluate --run " + path("bad") + " --set model=" + path("bert");
  expect(run_tutti(1, evaluate), 64, "sts.file");
  testing::write_text(folder() / "same.tsv", "bo\tel\t1\ndro\tel\t1\n");
  expect(run_tutti(2, evaluate + " --set sts.file=" + path("same.tsv")), 65, "the same");
  testing::write_text(folder() / "empty.tsv", "bo\tel\t1\n\tel\t2\n");
  expect(run_tutti(1, evaluate + " --set sts.file=" + path("empty.tsv")), 65, "empty.tsv:2");
  expect(run_tutti(2, train("unstarted", " --set sts.file=" + path("empty.tsv"))), 65,
         "empty.tsv:2");
  EXPECT_FALSE(std::filesystem::exists(folder() / "unstarted" / "model.h5"));
  expect_done("train --run " + path("own") + " --set dataset=" + path("data") +
              " --set train.steps=0 --set model.width=16 --set model.layers=1 --set model.heads=2");
  expect(run_tutti(1, "export --run " + path("bad") + " --set export.model=" + path("own")), 65,
         "no family of transformers");
  expect_done("train --run " + path("own_further") + " --set dataset=" + path("data") +
              " --set train.steps=2 --set batch.global=4 --set batch.micro=2 --set model.from=" +
              path("own"));
}

}  // namespace
}  // namespace tutti
