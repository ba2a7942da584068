#include <filesystem>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/utf8.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

using nlohmann::json;

json golden(const std::string& name) {
  return json::parse(read_file(std::filesystem::path(TUTTI_GOLDEN) / (name + ".json")));
}

Tokenizer tokenizer_of(const json& file) { return Tokenizer(file.dump(), "tokenizer.json"); }

// Says what the error for a wrong file says; "" where it is taken.
std::string refusal(const json& file) {
  try {
    tokenizer_of(file);
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
}

void expect_refusal(const json& file, const std::string& part) {
  const std::string message = refusal(file);
  EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
  EXPECT_NE(message.find("tokenizer.json"), std::string::npos) << message;
}

// The smallest BPE: "a", "b", and "ab" for both.
json small_bpe() {
  return json::parse(R"({"added_tokens": [{"id": 3, "content": "<s>", "special": true}],
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

class Golden : public ::testing::TestWithParam<const char*> {};

TEST_P(Golden, SameAsTokenizers) {
  const json file = golden(GetParam());
  const Tokenizer tokenizer = tokenizer_of(file["tokenizer"]);
  for (const json& c : file["cases"]) {
    const std::string text = c["text"];
    const auto ids = tokenizer.encode(text);
    EXPECT_EQ(json(ids), c["ids"]) << c["text"];
    EXPECT_EQ(json(tokenizer.encode_framed(text)),
              c.value("framed", json(tokenizer.encode_framed(text))))
        << c["text"];
    const std::string decoded = c.value("decoded", text);
    EXPECT_EQ(tokenizer.decode(ids), decoded);
    EXPECT_EQ(tokenizer.decode(ids, true), c.value("plain", decoded));
  }
}

TEST_P(Golden, TokensKnowWhereTheyBegin) {
  const json file = golden(GetParam());
  const Tokenizer tokenizer = tokenizer_of(file["tokenizer"]);
  for (const json& c : file["cases"]) {
    const std::string text = c["text"];
    std::vector<Token> tokens;
    tokenizer.encode(text, 1000, tokens);
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      ids.push_back(tokens[i].id);
      EXPECT_GE(tokens[i].begin, i > 0 ? tokens[i - 1].begin : 1000);
      const auto begin = std::size_t(tokens[i].begin - 1000);
      EXPECT_EQ(utf8_floor(text, begin), begin) << "no character is cut";
    }
    EXPECT_EQ(json(ids), c["ids"]) << c["text"];
  }
}

INSTANTIATE_TEST_SUITE_P(TokenizerJson, Golden,
                         ::testing::Values("gpt2", "llama3", "qwen2", "roberta", "digits", "llama2",
                                           "metaspace", "unknown", "bert", "bert_cased"),
                         [](const auto& param) { return std::string(param.param); });

TEST(TokenizerJson, PlainTextGivesNoSpecialToken) {
  json file = small_bpe();
  for (const char* piece : {"<", ">", "s", "<b>"})
    file["model"]["vocab"][piece] = file["model"]["vocab"].size();
  file["added_tokens"][0]["id"] = 7;
  file["added_tokens"].push_back({{"id", 6}, {"content", "<b>"}, {"special", false}});
  const Tokenizer tokenizer = tokenizer_of(file);
  EXPECT_TRUE(tokenizer.is_special(7));
  EXPECT_FALSE(tokenizer.is_special(6));
  EXPECT_EQ(tokenizer.encode("a<s>b<b>"), (std::vector<std::int32_t>{0, 7, 1, 6}));
  std::vector<std::int32_t> ids = {9};
  tokenizer.encode_plain("a<s>b<b>", true, ids);
  EXPECT_EQ(ids, (std::vector<std::int32_t>{9, 0, 3, 5, 4, 1, 6}));
}

TEST(TokenizerJson, PlacesInTheText) {
  const auto begins = [](const char* name, const std::string& text) {
    std::vector<Token> tokens;
    tokenizer_of(golden(name)["tokenizer"]).encode(text, 0, tokens);
    std::vector<std::int64_t> places;
    for (const Token& token : tokens) places.push_back(token.begin);
    return places;
  };
  // The accent goes, the mask is found, and what follows stands where it stood.
  const auto bert = begins("bert", "\xC3\x89 [MASK]\xE4\xBD\xA0");
  EXPECT_EQ(bert, (std::vector<std::int64_t>{0, 3, 9}));
  const auto roberta = begins("roberta", "!?");
  ASSERT_FALSE(roberta.empty());
  EXPECT_EQ(roberta.front(), 0) << "the space in front is not in the text";
}

TEST(TokenizerJson, Lookups) {
  const Tokenizer tokenizer = tokenizer_of(golden("bert")["tokenizer"]);
  EXPECT_EQ(tokenizer.id_of("[MASK]"), 4);
  EXPECT_EQ(tokenizer.id_of("no such piece"), std::nullopt);
  EXPECT_EQ(tokenizer.frame().front, std::vector<std::int32_t>{2});
  EXPECT_EQ(tokenizer.frame().back, std::vector<std::int32_t>{3});
  EXPECT_EQ(tokenizer_of(small_bpe()).vocabulary(), 4);
  EXPECT_FALSE(tokenizer.digest().empty());
}

TEST(TokenizerJson, MergesAsStringsAndAsPairs) {
  json file = small_bpe();
  EXPECT_EQ(tokenizer_of(file).encode("aab<s>ba"), (std::vector<std::int32_t>{0, 2, 3, 1, 0}));
  file["model"]["merges"] = json::parse(R"([["a", "b"]])");
  EXPECT_EQ(tokenizer_of(file).encode("aab<s>ba"), (std::vector<std::int32_t>{0, 2, 3, 1, 0}));
}

TEST(TokenizerJson, ThreadsShareOne) {
  const json file = golden("qwen2");
  const Tokenizer tokenizer = tokenizer_of(file["tokenizer"]);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (int& count : wrong)
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round)
        for (const json& c : file["cases"])
          count += json(tokenizer.encode(c["text"].get_ref<const std::string&>())) != c["ids"];
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(TokenizerJson, RefusesByName) {
  const auto with = [](const char* pointer, const json& value) {
    json file = small_bpe();
    file[json::json_pointer(pointer)] = value;
    return file;
  };
  expect_refusal(with("/model/type", "Unigram"), "the model Unigram is not supported");
  expect_refusal(with("/model/vocab/c", 7), "holes");
  expect_refusal(with("/model/vocab/c", 2), "the id 2 is there twice");
  expect_refusal(with("/model/vocab/c", -1), "whole number");
  expect_refusal(with("/model/vocab/c", 1.5), "whole number");
  expect_refusal(with("/model/merges", {"a c"}),
                 "model.merges[0]: the vocabulary has no piece \"c\"");
  expect_refusal(with("/model/merges", {"b a"}), "no piece \"ba\"");
  expect_refusal(with("/model/merges", {"a b c"}), "two pieces");
  expect_refusal(with("/model/merges", {{"a"}}), "two pieces");
  expect_refusal(with("/model/dropout", 0.1), "dropout");
  expect_refusal(with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  expect_refusal(with("/model/byte_fallback", true), "<0x00>");
  expect_refusal(with("/model/unk_token", "<unk>"), "no piece \"<unk>\"");
  expect_refusal(with("/added_tokens/0/id", 9), "the id 9, but 3");
  expect_refusal(with("/added_tokens/0/content", "ab"), "the id 3, but 2");
  expect_refusal(with("/added_tokens/1", {{"id", 3}, {"content", "<s>"}}), "twice");
  expect_refusal(with("/normalizer", {{"type", "Nmt"}}), "the normalizer Nmt is not supported");
  const json longer = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(60, 'a')}};
  expect_refusal(with("/normalizer", {{"type", "Sequence"}, {"normalizers", {longer, longer}}}),
                 "much longer");
  expect_refusal(with("/decoder", longer), "longer");
  expect_refusal(with("/pre_tokenizer", {{"type", "UnicodeScripts"}}),
                 "the pre-tokenizer UnicodeScripts");
  expect_refusal(
      with("/pre_tokenizer",
           {{"type", "Split"}, {"pattern", {{"Regex", "a+"}}}, {"behavior", "Isolated"}}),
      "the regular expression a+");
  expect_refusal(with("/post_processor", {{"type", "Other"}}), "the post-processor Other");
  expect_refusal(
      with("/post_processor", {{"type", "BertProcessing"}, {"cls", {"a", 99}}, {"sep", {"b", 1}}}),
      "no id 99");
  expect_refusal(with("/decoder", {{"type", "CTC"}}), "the decoder CTC");
}

TEST(TokenizerJson, DeepSequences) {
  json normalizer = {{"type", "NFC"}};
  for (int i = 0; i < 100; ++i) normalizer = {{"type", "Sequence"}, {"normalizers", {normalizer}}};
  json file = small_bpe();
  file["normalizer"] = normalizer;
  expect_refusal(file, "sequence");
  EXPECT_THROW(Tokenizer(std::string(1 << 20, '{'), "braces"), Error);
  EXPECT_THROW(Tokenizer("{" + std::string(1 << 20, '['), "brackets"), Error);
}

// Whatever is done to a file, it is refused or works; nothing else.
TEST(TokenizerJson, DamagedFiles) {
  const std::string whole = golden("bert")["tokenizer"].dump();
  const std::string text = golden("bert")["cases"].dump();
  std::uint64_t state = 1;
  const auto random = [&](std::size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return std::size_t(state >> 33) % below;
  };
  for (int i = 0; i < 300; ++i) {
    std::string damaged = i % 3 == 0 ? whole.substr(0, random(whole.size())) : whole;
    for (std::size_t flips = random(4); flips > 0 && !damaged.empty(); --flips)
      damaged[random(std::min<std::size_t>(damaged.size(), 1500))] = char(random(256));
    try {
      const Tokenizer tokenizer(damaged, "damaged");
      tokenizer.decode(tokenizer.encode(text));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
    }
  }
}

}  // namespace
}  // namespace tutti
