// What comes from outside and is wrong, as a user meets it: the job ends with the exit code of its
// kind, names the file, the place and what was expected, and has not begun to work.
#include <cstring>
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/manifest.h"
#include "runtime/data/paths.h"
#include "runtime/data/sequences.h"
#include "runtime/io/sealed_json.h"
#include "tests/jobs/golden.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::read_text;
using testing::run_tutti;
using testing::write_text;
using Texts = std::vector<std::string>;

class BadInput : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (scratch_.path() / name).string(); }

  void expect_end(const std::string& command, int code, const Texts& named) const {
    const auto done = run_tutti(2, command);
    EXPECT_EQ(done.exit_code, code) << command << "\n" << done.output;
    for (const std::string& text : named)
      EXPECT_NE(done.output.find(text), std::string::npos) << text << "\n" << done.output;
  }

  testing::ScratchFolder scratch_{"bad_input_test"};
};

// A folder of transformers in which one thing is spoilt.
class BadModel : public BadInput {
 protected:
  void expect_refused(const std::string& golden, const std::function<void()>& spoil,
                      const Texts& named) {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(testing::golden_folder(golden), folder_);
    spoil();
    expect_end("import --set import.from=" + folder_.string() + " --run " + path("run"), 65, named);
    for (const char* file : {kManifestFile, "model.h5"})
      EXPECT_FALSE(std::filesystem::exists(scratch_.path() / "run" / file)) << file;
  }
  void change_json(const std::string& file, const std::function<void(json&)>& change) const {
    json content = json::parse(read_text(folder_ / file));
    change(content);
    write_text(folder_ / file, content.dump());
  }
  // The header of a file of tensors; the data stay.
  void change_header(const std::string& file, const std::function<void(json&)>& change) const {
    const std::string bytes = read_text(folder_ / file);
    std::uint64_t length;
    std::memcpy(&length, bytes.data(), sizeof(length));
    json header = json::parse(bytes.substr(8, length));
    change(header);
    const std::string changed = header.dump();
    write_text(folder_ / file, length_bytes(changed.size()) + changed + bytes.substr(8 + length));
  }
  static std::string length_bytes(std::uint64_t length) {
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    return bytes;
  }

  const std::filesystem::path folder_ = scratch_.path() / "spoilt";
};

constexpr const char *kTensors = "model.safetensors", *kIndex = "model.safetensors.index.json",
                     *kFirst = "model-00001-of-00002.safetensors",
                     *kSecond = "model-00002-of-00002.safetensors";
constexpr const char *kBias = "transformer.h.0.attn.c_attn.bias",  // [48], bytes 0 to 192
    *kWeight = "transformer.h.0.attn.c_attn.weight";               // [16, 48], to 3264

TEST_F(BadModel, AHeaderThatLies) {
  const auto refused = [&](const char* tensor, const json& entry, const Texts& named) {
    Texts all = named;
    all.push_back(kTensors);
    all.push_back(tensor);
    expect_refused(
        "gpt2", [&] { change_header(kTensors, [&](json& h) { h[tensor].update(entry); }); }, all);
  };
  refused(kWeight, {{"data_offsets", {188, 3260}}}, {"overlap"});
  refused(kWeight, {{"data_offsets", {196, 3268}}}, {"holes"});
  refused(kWeight, {{"data_offsets", {192, 1 << 20}}}, {"it ends at byte 1048576 of 36608"});
  refused(kWeight, {{"shape", {16, 49}}}, {"it has 3072 bytes; expected 3136"});
  refused(kWeight, {{"shape", {1 << 30, 1 << 30, 1 << 30}}}, {"its shape is too large"});
  refused(kWeight, {{"dtype", "F16"}}, {"it has 3072 bytes; expected 1536"});
  refused(kWeight, {{"dtype", "F31"}}, {"\"F31\" is unknown"});
  refused(kWeight, {{"dtype", "I32"}}, {"its elements are I32; expected F32, F16 or BF16"});
  refused(kWeight, {{"shape", {48, 16}}}, {"its shape is [48, 16]; expected [16, 48]"});
  expect_refused("gpt2", [&] { write_text(folder_ / kTensors, length_bytes(1ull << 62) + "{}"); },
                 {kTensors, "the header claims 4611686018427387904 bytes; expected at most"});
}

TEST_F(BadModel, TensorsThatAreMissingOrExtra) {
  const auto rename = [&](const char* from, const char* to) {
    change_header(kTensors, [&](json& header) {
      header[to] = header[from];
      header.erase(from);
    });
  };
  expect_refused("gpt2", [&] { rename(kBias, "transformer.h.0.attn.bias"); },
                 {kTensors, kBias, "is missing"});
  expect_refused(
      "gpt2",
      [&] {
        change_header(kTensors, [](json& header) {
          header["extra"] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {192, 192}}};
        });
      },
      {kTensors, "tensor extra"});
}

TEST_F(BadModel, FilesThatAreCutMissingOrOthersThanTheIndexNames) {
  const auto size = std::filesystem::file_size(testing::golden_folder("llama") / kSecond);
  for (const std::uintmax_t left : {size - 1, size / 2, std::uintmax_t(300), std::uintmax_t(0)})
    expect_refused("llama", [&] { std::filesystem::resize_file(folder_ / kSecond, left); },
                   {kSecond, "expected"});
  expect_refused("llama", [&] { std::filesystem::remove(folder_ / kSecond); }, {kIndex, kSecond});
  const auto place = [&](const char* tensor, const char* file) {
    change_json(kIndex, [&](json& index) { index["weight_map"][tensor] = file; });
  };
  expect_refused("llama", [&] { place("lm_head.weight", kFirst); },
                 {kIndex, "lm_head.weight", kFirst});
  expect_refused("llama", [&] { place("other", kFirst); }, {kIndex, "tensor other"});
  expect_refused("llama", [&] { place("other", "../x"); }, {kIndex, "../x"});
}

TEST_F(BadModel, ArchitecturesThatAreNotSupported) {
  const auto refused = [&](const char* key, const json& value, const std::string& named) {
    expect_refused("llama", [&] { change_json("config.json", [&](json& c) { c[key] = value; }); },
                   {"config.json", named});
  };
  refused("model_type", "t5", "t5");
  refused("architectures", {"LlamaForSequenceClassification"}, "LlamaForSequenceClassification");
  refused("rope_parameters", {{"rope_type", "yarn"}, {"factor", 2}}, "yarn");
}

TEST_F(BadModel, TokenizersThatAreUnknownOrTooLarge) {
  const char* file = "tokenizer.json";
  expect_refused(
      "llama",
      [&] { change_json(file, [](json& tokenizer) { tokenizer["model"]["type"] = "Unigram"; }); },
      {file, "the model Unigram is not supported"});
  expect_refused("llama",
                 [&] {
                   change_json(file, [](json& tokenizer) {
                     for (int id = 80; id < 97; ++id) {
                       json piece = tokenizer["added_tokens"][0];
                       piece.update({{"id", id}, {"content", "<" + std::to_string(id) + ">"}});
                       tokenizer["added_tokens"].push_back(piece);
                     }
                   });
                 },
                 {file, "the tokenizer has 97 entries, the model embeds 96"});
}

// Text and models that do not belong to one another.
class BadDataset : public BadInput {
 protected:
  void SetUp() override { testing::write_corpus(scratch_.path() / "corpus.jsonl", 40); }

  void shard(const std::string& run, const std::string& more = "") const {
    const auto done = run_tutti(1, "shard --run " + path(run) + " --set input.paths='[\"" +
                                       path("corpus.jsonl") + "\"]' " + more);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  std::string train(const std::string& more) const {
    return "train --run " + path("run") + " --set dataset=" + path("data") +
           " --set model.max_tokens=24 --set train.steps=3 --set batch.global=8 --set "
           "batch.micro=2 " +
           more;
  }
  // Changes what its manifest says of its tokens, which no checksum of its files covers.
  void say(const char* key, const json& value) const {
    Manifest manifest = load_manifest(path("data"));
    manifest.metadata[key] = value;
    write_sealed_json(scratch_.path() / "data" / kManifestFile, to_json(manifest));
  }
  void expect_no_step() const {
    EXPECT_EQ(read_text(scratch_.path() / "run" / "events.jsonl").find("\"step\""),
              std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(scratch_.path() / "run" / kManifestFile));
  }
};

// As a dataset has it that was made by hand, or whose tokenizer was exchanged.
TEST_F(BadDataset, TokensOutsideTheVocabulary) {
  shard("data", "--set tokenizer.vocabulary=300");
  say("vocabulary", 40);
  for (const char* kind : {"gpt2", "encoder"}) {
    std::filesystem::remove_all(scratch_.path() / "run");
    expect_end(train(std::string("--set model.kind=") + kind), 65,
               {path("data"), "shard-0", "token", "expected one of the vocabulary, from 0 to 39"});
    expect_no_step();
  }
  say("vocabulary", 300);
  const std::int64_t largest = load_manifest(path("data")).metadata.at(kLargestTokenKey);
  EXPECT_LT(largest, 300);
  EXPECT_GT(largest, 200);
  // One that stands in few places, which the steps need not come to.
  say("vocabulary", largest);
  for (const char* kind : {"gpt2", "encoder"}) {
    expect_end(train(std::string("--set model.kind=") + kind), 65,
               {"shard-0", "is " + std::to_string(largest) + "; expected one of the vocabulary"});
    expect_no_step();
    say(kLargestTokenKey, nullptr);  // as where it was made by hand
  }
  say("vocabulary", 2);  // and </s> is 2
  say(kLargestTokenKey, 1);
  expect_end(train("--set model.kind=gpt2"), 65,
             {path("data"), "the token between documents is 2; expected one of the vocabulary"});
  expect_no_step();
}

TEST_F(BadDataset, OneWithoutText) {
  const std::string input = " --set input.paths='[\"" + path("empty.jsonl") + "\"]'",
                    tokenizer = " --set tokenizer.model=" +
                                (testing::golden_folder("llama") / "tokenizer.json").string();
  for (const auto& [content, named] :
       {std::pair("", "the file is empty"),
        std::pair("{\"id\": \"1\", \"text\": \" \"}\n", "the input has no text")}) {
    write_text(path("empty.jsonl"), content);
    expect_end("shard --run " + path("empty") + input + tokenizer, 65,
               {path("empty.jsonl"), named});
  }
  // All of it is held out: there is nothing to train on.
  shard("data", "--set split.heldout=0.999999" + tokenizer);
  for (const char* kind : {"gpt2", "encoder"}) {
    expect_end(train("--set data.separator='<|endoftext|>' --set model.kind=" + std::string(kind)),
               65, {path("data")});
    expect_no_step();
  }
}

TEST_F(BadDataset, WhatIsLargerThanTheModel) {
  const auto golden = testing::golden_folder("gpt2");
  shard("data", "--set tokenizer.model=" + (golden / "tokenizer.json").string());
  const auto imported =
      run_tutti(1, "import --set import.from=" + golden.string() + " --run " + path("model"));
  ASSERT_EQ(imported.exit_code, 0) << imported.output;
  expect_end(train("--set model.from=" + path("model") + " --set model.max_tokens=65"), 64,
             {"model.max_tokens", "sequences of 65 tokens are longer than the 64 of the model"});
  expect_no_step();
  say("vocabulary", 97);
  expect_end(train("--set model.from=" + path("model")), 65,
             {path("model"), "the dataset's tokenizer has 97 entries, the model embeds 96"});
  expect_no_step();
  // A prompt that is too long is refused for itself: the others are answered.
  write_text(scratch_.path() / "prompts.jsonl",
             json({{"prompt", std::string(300, 'k')}}).dump() + "\n{\"prompt\": \"k\"}\n");
  expect_end("generate --run " + path("answers") + " --set model=" + path("model") +
                 " --set prompts=" + path("prompts.jsonl"),
             0, {});
  const std::string answers = read_text(scratch_.path() / "answers" / "completions.jsonl");
  const json first = json::parse(answers.substr(0, answers.find('\n'))),
             second = json::parse(answers.substr(answers.find('\n') + 1));
  EXPECT_EQ(first["error"]["code"], "invalid_prompt");
  EXPECT_EQ(first["error"]["message"], "the prompt has 301 tokens, the model's context 64");
  EXPECT_TRUE(second["error"].is_null());
}

}  // namespace
}  // namespace tutti
