// Fine-tuning as a user does it: examples are sharded, a language model learns their answers, and
// generates them.
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "jobs/decoder_model.h"
#include "kernels/core/arena.h"
#include "kernels/model/decoder.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "tests/support/command.h"
#include "tests/support/killed_run.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::read_text;
using testing::run_tutti;
using testing::write_text;

std::vector<json> lines_of(const std::filesystem::path& file) {
  std::vector<json> lines;
  std::istringstream text(read_text(file));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

class FineTune : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("fine_tune_test");
    const std::vector<std::string> words = {"river", "stone", "Lamp", "copper", "winter", "field"};
    std::ofstream pairs(folder() / "pairs.jsonl");
    for (std::size_t i = 0; i < 20; ++i) {
      std::string answer = " the " + words[i * 5 % 6];
      for (std::size_t k = 0; k < i % 4; ++k) answer += " and " + words[(i + k * k) % 6];
      pairs << json({{"prompt", "What is number " + std::to_string(i) + "?"},
                     {"completion", answer}})
                   .dump()
            << "\n";
    }
    pairs.close();
    write_text(folder() / "data.toml",
               "shards = 3\n[input]\npaths = [\"" + (folder() / "pairs.jsonl").string() +
                   "\"]\n[examples]\nformat = \"completion\"\n[tokenizer]\nvocabulary = 300\n"
                   "normalization = \"nmt_nfkc\"\n[split]\nheldout = 0\n");
    const auto sharded = run_tutti(2, "shard " + (folder() / "data.toml").string());
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    write_text(folder() / "train.toml",
               "dataset = \"" + (folder() / "data").string() +
                   "\"\n[model]\nkind = \"llama\"\nwidth = 64\nlayers = 2\nheads = 2\n"
                   "max_tokens = 64\n[batch]\nglobal = 8\nmicro = 1\nleaf = 2\n[train]\n"
                   "steps = 120\n[optimizer]\nlearning_rate = 0.005\n");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& job, const std::string& run,
                               const std::string& more = "") {
    return job + " " + (folder() / (job == "shard" ? "data.toml" : "train.toml")).string() +
           " --run " + (folder() / run).string() + " " + more;
  }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static json result_of(const std::string& run) {
    return json::parse(read_text(folder() / run / kResultFile));
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
  // Of the run "tuned", which is there then.
  static std::string undisturbed_digest() {
    if (!std::filesystem::exists(folder() / "tuned" / kManifestFile))
      expect_done(1, arguments("train", "tuned"));
    return result_of("tuned")["model_digest"];
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* FineTune::scratch_ = nullptr;

TEST_F(FineTune, TheSameShardsOnAnyNumberOfRanksStoppedOrNot) {
  const std::string digest = result_of("data")["dataset_digest"];
  for (const int ranks : {1, 4}) {
    const std::string run = "data" + std::to_string(ranks);
    expect_done(ranks, arguments("shard", run));
    EXPECT_EQ(result_of(run)["dataset_digest"], digest);
    EXPECT_EQ(read_text(folder() / run / kManifestFile),
              read_text(folder() / "data" / kManifestFile));
  }
  EXPECT_EQ(run_tutti(2, arguments("shard", "stopped", "--max-time 0.001s")).exit_code, 75);
  expect_done(2, arguments("shard", "stopped"));
  EXPECT_EQ(result_of("stopped")["dataset_digest"], digest);
  const auto inspected = run_tutti(1, "inspect " + path("data"));
  EXPECT_EQ(inspected.exit_code, 0) << inspected.output;
  EXPECT_NE(inspected.output.find("predicted"), std::string::npos) << inspected.output;
}

TEST_F(FineTune, TheSameModelOnAnyNumberOfRanksKilledOrNot) {
  for (const int ranks : {2, 4}) {
    const std::string run = "tuned" + std::to_string(ranks);
    expect_done(ranks, arguments("train", run));
    EXPECT_EQ(result_of(run)["model_digest"], undisturbed_digest()) << ranks << " ranks";
  }
  const auto done =
      testing::run_with_kills(arguments("train", "killed", "--set checkpoint.every=10ms"),
                              folder() / "killed", {2, 4, 1}, 5);
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_GE(done.restores, 1);
  EXPECT_EQ(result_of("killed")["model_digest"], undisturbed_digest());
}

TEST_F(FineTune, WhatWasLearnedIsGenerated) {
  expect_done(
      2,
      arguments("train", "by_heart",
                "--set batch.global=4 --set train.steps=1000 --set optimizer.learning_rate=0.003"));
  expect_done(2, "generate --run " + path("answers") + " --set model=" + path("by_heart") +
                     " --set prompts=" + path("pairs.jsonl") + " --set generate.temperature=0");
  const auto pairs = lines_of(folder() / "pairs.jsonl"),
             answers = lines_of(folder() / "answers" / "completions.jsonl");
  ASSERT_EQ(answers.size(), pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const json& choice = answers[i]["response"]["body"]["choices"][0];
    EXPECT_EQ(choice["text"], pairs[i]["completion"]);
    EXPECT_EQ(choice["finish_reason"], "stop");
  }
}

// Each pair alone, its prompt masked, as the test puts it together itself.
TEST_F(FineTune, LossAndGradientAreThoseOfTheCompletionsTokens) {
  const std::string whole =
      "--set model.max_tokens=1000 --set batch.global=1 --set batch.leaf=1 "
      "--set train.dtype=f32 --set train.steps=";
  expect_done(1, arguments("train", "initial", whole + "0"));
  expect_done(2, arguments("train", "one_step", whole + "1"));
  const Manifest manifest = load_manifest(folder() / "initial", kModelKind);
  Decoder decoder(decoder_shape_of(manifest, "initial"), DType::f32);
  AlignedBuffer<float> parameters, gradients;
  parameters.grow(decoder.layout().padded_size());
  gradients.grow(decoder.layout().padded_size());
  load_parameters(folder() / "initial", manifest, decoder.layout(), parameters.span());
  decoder.load_parameters(parameters.span());
  const Tokenizer tokenizer = load_tokenizer(folder() / "initial", manifest);
  const std::int32_t end = tokenizer.id_of("</s>").value();
  double loss = 0;
  std::int64_t asked = 0, all = 0;
  for (const json& pair : lines_of(folder() / "pairs.jsonl")) {
    std::vector<std::int32_t> tokens = {end}, targets;
    for (const std::int32_t id : tokenizer.encode(pair["prompt"].get<std::string>()))
      tokens.push_back(id);
    targets.assign(tokens.size() - 1, -1);
    for (const std::int32_t id : tokenizer.encode(pair["completion"].get<std::string>())) {
      tokens.push_back(id);
      targets.push_back(id);
      ++asked;
    }
    targets.push_back(end);
    ++asked;
    all += std::ssize(tokens);
    const std::vector<std::int32_t> offsets = {0, std::int32_t(tokens.size())};
    decoder.forward({tokens, offsets});
    loss += decoder.backward({tokens, offsets}, targets, gradients.span());
  }
  double squares = 0;
  for (const float g : gradients.span()) squares += double(g) * double(g);
  const double norm = std::sqrt(squares) / double(asked);
  for (const json& event : lines_of(folder() / "one_step" / "events.jsonl"))
    if (event.contains("gradient_norm")) {
      EXPECT_NEAR(event["loss"].get<double>(), loss / double(asked), 1e-5);
      EXPECT_NEAR(event["gradient_norm"].get<double>(), norm, 1e-4 * norm);
    }
  EXPECT_EQ(result_of("one_step")["tokens_this_start"], all);
  EXPECT_LT(asked, all);
}

// Characters as tokens, and those of ChatML.
std::string character_tokenizer() {
  json vocabulary, added = json::array();
  for (int c = 0; c < 128; ++c) vocabulary[std::string(1, char(c))] = c;
  for (const char* piece : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    added.push_back({{"id", 128 + int(added.size())}, {"content", piece}, {"special", true}});
  return json({{"added_tokens", added},
               {"decoder", {{"type", "Fuse"}}},
               {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", json::array()}}}})
      .dump();
}

class FineTuneChats : public FineTune {
 protected:
  static std::string shard_chats(const std::string& run, const std::string& more = "") {
    return arguments("shard", run,
                     "--set 'input.paths=[\"" + path("chats.jsonl") + "\"]' " +
                         "--set examples.format=messages --set tokenizer.model=" +
                         path("characters.json") + " " + more);
  }
  static void write_chats() {
    write_text(folder() / "characters.json", character_tokenizer());
    std::ofstream chats(folder() / "chats.jsonl"), prompts(folder() / "questions.jsonl");
    for (const char* name : {"red", "green", "blue", "grey"}) {
      json messages = {{{"role", "system"}, {"content", "Spell."}},
                       {{"role", "user"}, {"content", name}},
                       {{"role", "assistant"}, {"content", std::string(name) + " it is"}},
                       {{"role", "user"}, {"content", "again"}}};
      prompts << json({{"custom_id", name}, {"body", {{"messages", messages}}}}).dump() << "\n";
      messages.push_back({{"role", "assistant"}, {"content", std::string("ok, ") + name}});
      chats << json({{"messages", messages}}).dump() << "\n";
    }
  }
};

TEST_F(FineTuneChats, AreLearnedAndAnsweredInTheirTemplate) {
  write_chats();
  expect_done(2, shard_chats("chats"));
  EXPECT_EQ(json::parse(read_text(folder() / "chats" / kManifestFile))["metadata"]["examples"],
            json({{"format", "messages"}, {"template", "chatml"}, {"end", 130}}));
  expect_done(2, arguments("train", "chatty",
                           "--set dataset=" + path("chats") +
                               " --set model.max_tokens=160 --set batch.global=4 "
                               "--set train.steps=150"));
  expect_done(2, "generate --run " + path("chat_answers") + " --set model=" + path("chatty") +
                     " --set prompts=" + path("questions.jsonl") + " --set generate.temperature=0");
  const auto answers = lines_of(folder() / "chat_answers" / "completions.jsonl");
  ASSERT_EQ(answers.size(), 4u);
  for (const json& answer : answers) {
    const json& body = answer["response"]["body"];
    EXPECT_EQ(body["object"], "chat.completion");
    EXPECT_EQ(body["choices"][0]["message"],
              json({{"role", "assistant"},
                    {"content", "ok, " + answer["custom_id"].get<std::string>()}}));
    EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  }
}

TEST_F(FineTuneChats, TransformersIsToldWhatEndsAnAnswer) {
  write_chats();
  expect_done(2, shard_chats("end_chats"));
  const std::string data = " --set dataset=" + path("end_chats"), from = " --set export.model=";
  expect_done(1, arguments("train", "talker", "--set train.steps=0" + data));
  expect_done(1, "export --run " + path("theirs") + from + path("talker"));
  const auto config = folder() / "theirs" / "config.json";
  json ended_by_five = json::parse(read_text(config));
  EXPECT_EQ(ended_by_five["eos_token_id"], 130);
  ended_by_five["eos_token_id"] = 5;
  write_text(config, ended_by_five.dump());
  write_text(folder() / "theirs" / "generation_config.json", R"({"eos_token_id": [5, 4]})");
  expect_done(1, "import --run " + path("base") + " --set import.from=" + path("theirs"));
  expect_done(1, "export --run " + path("untouched") + from + path("base"));
  EXPECT_EQ(read_text(folder() / "untouched" / "config.json"), read_text(config));
  expect_done(2, "train --run " + path("chat_tuned") + " --set model.from=" + path("base") + data +
                     " --set model.max_tokens=64 --set train.steps=1 --set batch.global=4"
                     " --set batch.micro=1");
  expect_done(1, "export --run " + path("chat_out") + from + path("chat_tuned"));
  const auto ends = [](const char* file) {
    return json::parse(read_text(folder() / "chat_out" / file))["eos_token_id"];
  };
  EXPECT_EQ(ends("config.json"), json({5, 130}));
  EXPECT_EQ(ends("generation_config.json"), json({5, 4, 130}));
}

TEST_F(FineTuneChats, AModelWithoutATemplateAnswersNoConversation) {
  write_chats();
  undisturbed_digest();
  const std::string generate = "generate --run " + path("no_answers") +
                               " --set model=" + path("tuned") +
                               " --set prompts=" + path("questions.jsonl");
  expect_refused(generate, 64, "prompt.template");
  expect_refused(generate + " --set prompt.template=chatml", 64,
                 "the template chatml: the tokenizer has no piece");
  expect_done(1, generate + " --set prompt.template=plain");
}

TEST_F(FineTuneChats, MistakesEndWithTheirCode) {
  write_chats();
  expect_refused(shard_chats("bad", "--set examples.template=llama3"), 64, "<|begin_of_text|>");
  expect_refused(shard_chats("bad", "--set examples.template=plain"), 64, "</s>");
  expect_refused(shard_chats("bad", "--set examples.template=jinja"), 64, "examples.template");
  expect_refused(shard_chats("bad", "--set examples.messages=''"), 64, "examples.*");
  expect_refused(shard_chats("bad", "--set input.format=text"), 64, "examples.format");
  expect_refused(shard_chats("bad", "--set examples.messages=chat"), 65, "chats.jsonl:1");
}

TEST_F(FineTune, BadRecordsAreNamedOrCounted) {
  std::string text = read_text(folder() / "pairs.jsonl");
  const std::string bad[] = {"[]", R"({"prompt": "a"})", R"({"prompt": "a", "completion": ""})",
                             "{\"prompt\": \"\xff\", \"completion\": \"b\"}"};
  for (const std::string& line : bad) text += line + "\n";
  write_text(folder() / "bad.jsonl", text);
  const std::string input = "--set 'input.paths=[\"" + path("bad.jsonl") + "\"]' ";
  expect_refused(arguments("shard", "bad", input), 65, "bad.jsonl:21");
  expect_done(2, arguments("shard", "skipped", input + "--set on_bad_record=skip"));
  EXPECT_EQ(result_of("skipped")["skipped_records"], 4);
  EXPECT_EQ(result_of("skipped")["documents"], 20);
  expect_refused(arguments("shard", "bad", "--set examples.end=nothing"), 64, "examples.end");
}

TEST_F(FineTune, MistakesOfTrainingEndWithTheirCode) {
  expect_refused(arguments("train", "bad", "--set 'data.separator=\"</s>\"'"), 64,
                 "data.separator");
  expect_refused(arguments("train", "bad", "--set model.max_tokens=3"), 65, "nothing to predict");
  expect_refused(arguments("train", "bad", "--set batch.global=800"), 64, "batch.global");
}

}  // namespace
}  // namespace tutti
