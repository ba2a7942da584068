#include "runtime/data/sentence_pairs.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

class SentencePairs : public ::testing::Test {
 protected:
  std::vector<PlacedPair> read(const char* name, const std::string& text) {
    testing::write_text(scratch_.path() / name, text);
    return read_sentence_pairs(scratch_.path() / name);
  }
  void expect_refused(const char* name, const std::string& text, const std::string& named) {
    try {
      read(name, text);
      ADD_FAILURE() << named << " was not missed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
  testing::ScratchFolder scratch_{"sentence_pairs_test"};
};

TEST_F(SentencePairs, OfJsonLines) {
  const auto pairs = read("a.jsonl",
                          "{\"sentence1\": \"one\", \"sentence2\": \"two\", \"score\": 2}\n\n"
                          "{\"score\": -0.5, \"sentence2\": \"\", \"sentence1\": \"\\u00e9\"}\n");
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].first, "one");
  EXPECT_EQ(pairs[0].second, "two");
  EXPECT_EQ(pairs[0].score, 2);
  EXPECT_EQ(pairs[1].first, "\xc3\xa9");
  EXPECT_EQ(pairs[1].score, -0.5);
  EXPECT_NE(pairs[1].place.find("a.jsonl:3"), std::string::npos) << pairs[1].place;
}

TEST_F(SentencePairs, OfTablesWithAHeaderOrWithout) {
  for (const char* text : {"a b\tc\t4.25\r\nd\te f\t0\r\n",
                           "genre\tscore\tsentence1\tsentence2\tsource\n"
                           "news\t4.25\ta b\tc\tX\nnews\t0\td\te f\tX\n"}) {
    const auto pairs = read("a.tsv", text);
    ASSERT_EQ(pairs.size(), 2u);
    EXPECT_EQ(pairs[0].first, "a b");
    EXPECT_EQ(pairs[0].second, "c");
    EXPECT_EQ(pairs[0].score, 4.25);
    EXPECT_EQ(pairs[1].second, "e f");
  }
}

TEST_F(SentencePairs, WhatIsWrongIsNamedWithItsLine) {
  const std::string good = "{\"sentence1\": \"one\", \"sentence2\": \"two\", \"score\": 2}\n";
  expect_refused("b.jsonl", good + "[]\n", "b.jsonl:2");
  expect_refused("b.jsonl", good + "{\"sentence1\": \"one\", \"score\": 2}\n", "sentence2");
  expect_refused("b.jsonl", good + "{\"sentence1\": \"\", \"sentence2\": \"\"}\n", "score");
  expect_refused("b.jsonl", good + "\"\xff\"\n", "UTF-8");
  expect_refused("b.jsonl", good, "fewer than two");
  expect_refused("b.tsv", "a\tb\t1\na\tb\n", "it has 2 fields");
  expect_refused("b.tsv", "a\tb\t1\na\tb\tmuch\n", "\"much\"");
  expect_refused("b.tsv", "a\tb\t1\na\tb\tinf\n", "\"inf\"");
  EXPECT_THROW(read_sentence_pairs(scratch_.path() / "none.tsv"), Error);
}

}  // namespace
}  // namespace tutti
