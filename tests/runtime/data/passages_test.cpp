#include "runtime/data/passages.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/tokenizer_training.h"
#include "runtime/data/utf8.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/sentences.h"

namespace tutti {
namespace {

const Tokenizer& example() {
  static const Tokenizer tokenizer(
      train_tokenizer(testing::example_sentences(400), {.vocabulary = 400}), "example");
  return tokenizer;
}

std::string without_space(std::string_view text) {
  std::string rest;
  for (const char c : text)
    if (!std::isspace(static_cast<unsigned char>(c))) rest += c;
  return rest;
}

std::vector<std::string> texts_of(const std::string& text, std::int64_t tokens) {
  std::vector<std::string> texts;
  for (const Passage& p : cut_passages(text, example(), {tokens}))
    texts.push_back(text.substr(std::size_t(p.begin), std::size_t(p.end - p.begin)));
  return texts;
}

// No text lost, none twice, none too long, and each passage's tokens are those of its own text.
void expect_sound(const std::string& text, std::int64_t limit,
                  const Tokenizer& tokenizer = example(), bool tokens_alone = true) {
  std::string all;
  std::int64_t end = 0;
  for (const Passage& p : cut_passages(text, tokenizer, {limit})) {
    ASSERT_GE(p.begin, end);
    ASSERT_GT(p.end, p.begin);
    end = p.end;
    const std::string_view own =
        std::string_view(text).substr(std::size_t(p.begin), std::size_t(p.end - p.begin));
    EXPECT_EQ(utf8_prefix(own), own.size()) << "no character is cut";
    EXPECT_FALSE(std::isspace(static_cast<unsigned char>(own.front())) ||
                 std::isspace(static_cast<unsigned char>(own.back())));
    EXPECT_GE(p.tokens.size(), 1u);
    EXPECT_LE(std::int64_t(p.tokens.size()), limit);
    const bool whole_words =
        p.begin == 0 || std::isspace(static_cast<unsigned char>(text[std::size_t(p.begin - 1)]));
    if (tokens_alone && whole_words) {
      EXPECT_EQ(p.tokens, tokenizer.encode(own)) << own;
    }
    all += own;
  }
  EXPECT_TRUE(without_space(all) == without_space(text));
}

TEST(Passages, ShortTextIsOne) {
  EXPECT_EQ(texts_of("  the node waits \n", 32), std::vector<std::string>{"the node waits"});
  EXPECT_TRUE(texts_of("", 32).empty());
  EXPECT_TRUE(texts_of(" \n\n\t", 32).empty());
}

TEST(Passages, ShortParagraphsComeTogether) {
  const std::string text = "the node waits\n\nthe rank reads\n\nthe job writes";
  EXPECT_EQ(texts_of(text, 96), std::vector<std::string>{text});
}

TEST(Passages, CutBetweenParagraphsThenSentencesThenWords) {
  const std::string sentence = "the node waits of the rank.";  // some 7 tokens
  const std::string paragraph = sentence + " " + sentence;
  EXPECT_EQ(texts_of(paragraph + "\n\n" + paragraph, 20),
            (std::vector<std::string>{paragraph, paragraph}));
  EXPECT_EQ(texts_of(paragraph, 10), (std::vector<std::string>{sentence, sentence}));
  for (const std::string& part : texts_of("the node the node the node the node the node", 8))
    EXPECT_TRUE(part.ends_with("the") || part.ends_with("node")) << part;
}

TEST(Passages, NothingIsLost) {
  std::string text;
  int i = 0;
  for (const std::string& s : testing::example_sentences(300))
    text += s + (++i % 7 == 0 ? "\n\n" : i % 3 == 0 ? "\n" : " ");
  for (const std::int64_t limit : {8, 13, 32, 96, 512}) expect_sound(text, limit);
}

TEST(Passages, LongWordsAndForeignScripts) {
  expect_sound(std::string(3000, 'x') + " the end", 16);
  expect_sound(
      "the 世界您好。今天天气很好。我们去散步吧！ node \U0001F600\U0001F600 Ünïcödé ﬁne ½ ﷺ x", 40);
  expect_sound("tabs\tand\r\nlines\v\fand\xC2\xA0spaces", 16);
}

TEST(Passages, LongDocuments) {
  std::string text;
  for (const std::string& s : testing::example_sentences(9000))
    text += s + (s.size() % 5 == 0 ? "\n\n" : " ");
  ASSERT_GT(text.size(), std::size_t(512 << 10));
  expect_sound(text, 96);
  expect_sound(std::string(300 << 10, 'y'), 96);
}

TEST(Passages, NoMoreThanAsked) {
  std::string text;
  for (const std::string& s : testing::example_sentences(100)) text += s + "\n\n";
  const auto all = cut_passages(text, example(), {32}),
             first = cut_passages(text, example(), {32, 3});
  ASSERT_EQ(first.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(first[i].tokens, all[i].tokens);
}

// A tokenizer that somebody else trained: byte-pair, white space kept.
TEST(Passages, WithALlamaTokenizer) {
  const std::filesystem::path model =
      std::filesystem::path(TUTTI_SHARED_DATA) / "tokenizer/llama-tokenizer.model";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no " << model;
  const Tokenizer tokenizer = Tokenizer::from_file(model);
  const std::filesystem::path corpus =
      std::filesystem::path(TUTTI_SHARED_DATA) / "text/tinyshakespeare.txt";
  const std::string text = testing::read_text(corpus).substr(0, 100000);
  expect_sound(text, 96, tokenizer, false);
  expect_sound("code:\n\n    if (x)\n        return  世界;\n\n\n", 8, tokenizer, false);
}

TEST(Passages, WithATokenizerJson) {
  std::string text = "code:\n\n    if (x)\n        return  世界\U0001F600\U0001F680;\n\n\n";
  for (const std::string& s : testing::example_sentences(50))
    text += s + "\n\n" + "naïve 世界 \U0001F600 ";
  for (const char* name : {"gpt2", "llama3", "qwen2", "llama2", "roberta", "bert"}) {
    const auto file = std::filesystem::path(TUTTI_GOLDEN) / (std::string(name) + ".json");
    const Tokenizer tokenizer(nlohmann::json::parse(testing::read_text(file))["tokenizer"].dump(),
                              name);
    for (const int limit : {8, 32, 96}) expect_sound(text, limit, tokenizer, false);
  }
}

}  // namespace
}  // namespace tutti
