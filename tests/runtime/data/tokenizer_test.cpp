#include "runtime/data/tokenizer.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/tokenizer_training.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/sentences.h"

namespace tutti {
namespace {

using testing::example_sentences;

const Tokenizer& example() {
  static const Tokenizer tokenizer(train_tokenizer(example_sentences(400), {.vocabulary = 400}),
                                   "example");
  return tokenizer;
}

TEST(Tokenizer, ThereAndBack) {
  for (const std::string text :
       {"the quick node waits", "requeue a job", "", "seven ranks: reduce!"}) {
    const auto ids = example().encode(text);
    EXPECT_EQ(example().decode(ids), text);
    for (const std::int32_t id : ids) EXPECT_TRUE(id >= 0 && id < example().vocabulary());
  }
  EXPECT_EQ(example().decode(example().encode("unknown 世界 \U0001F600")),
            "unknown 世界 \U0001F600")
      << "by bytes";
  EXPECT_EQ(example().encode("The QUICK  node"), example().encode("the quick node"))
      << "nmt_nfkc_cf";
}

TEST(Tokenizer, PiecesKnowWhereTheyBegin) {
  const std::string text = "The  quick 世 node";
  std::vector<Token> tokens;
  example().encode(text, 100, tokens);
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    ids.push_back(tokens[i].id);
    EXPECT_GE(tokens[i].begin, i > 0 ? tokens[i - 1].begin : 100);
  }
  EXPECT_EQ(ids, example().encode(text));
  EXPECT_EQ(tokens.front().begin, 100);
  EXPECT_LT(tokens.back().begin, 100 + std::int64_t(text.size()));
}

TEST(Tokenizer, NoTextGivesAControlPiece) {
  const std::int32_t end = example().id_of("</s>").value();
  EXPECT_TRUE(example().is_special(end));
  EXPECT_FALSE(example().is_special(example().encode("node").front()));
  const std::string text = "the</s> node </s>";
  std::vector<std::int32_t> ids;
  example().encode_plain(text, true, ids);
  EXPECT_EQ(ids, example().encode(text));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 0);
}

TEST(Tokenizer, RejectsWhatIsNoModel) {
  EXPECT_THROW(Tokenizer("", "empty"), Error);
  EXPECT_THROW(Tokenizer("not a model at all", "text"), Error);
  EXPECT_THROW(Tokenizer(example().model().substr(0, example().model().size() / 2), "cut"), Error);
  EXPECT_THROW(Tokenizer::from_file("no/such/file"), Error);
}

TEST(TokenizerTraining, SameSentencesSameBytes) {
  const std::string model = train_tokenizer(example_sentences(400), {.vocabulary = 400});
  EXPECT_TRUE(model == example().model());
  EXPECT_EQ(Tokenizer(model, "again").digest(), example().digest());
  EXPECT_LE(example().vocabulary(), 400);
}

TEST(TokenizerTraining, LittleText) {
  const Tokenizer small(train_tokenizer({"so little text"}, {.vocabulary = 8192}), "small");
  EXPECT_LT(small.vocabulary(), 300);
  EXPECT_EQ(small.decode(small.encode("other words")), "other words");
  EXPECT_THROW(train_tokenizer({}, {}), Error);
}

TEST(TokenizerTraining, SampleIsBoundedAndSpread) {
  const testing::ScratchFolder scratch("sample");
  std::string text;
  for (int i = 0; i < 3000; ++i)
    text += "{\"id\": \"" + std::to_string(i) + "\", \"text\": \"number " + std::to_string(i) +
            " " + std::string(200, 'x') + "\\nsecond line\"}\n";
  testing::write_text(scratch.path() / "a.jsonl", text);
  const TextSource source(find_input({(scratch.path() / "a.jsonl").string()}, "auto"), {});
  std::size_t bytes = 0;
  const auto some = sample_sentences(source, 100 << 10);
  for (const std::string& s : some) bytes += s.size();
  EXPECT_LE(bytes, std::size_t(100 << 10));
  EXPECT_GT(bytes, std::size_t(70 << 10));
  EXPECT_TRUE(some.front().starts_with("number 0 "));
  const auto is_late = [](const std::string& s) {
    return s.starts_with("number 26") || s.starts_with("number 27");
  };
  EXPECT_TRUE(std::any_of(some.begin(), some.end(), is_late));
  EXPECT_EQ(sample_sentences(source, 100 << 10), some);
  EXPECT_EQ(sample_sentences(source, 10 << 20).size(), 6000u) << "all there is";
}

TEST(TokenizerTraining, LongLinesAreCutAtSpaces) {
  const testing::ScratchFolder scratch("sample_long");
  std::string line;
  while (line.size() < 10000) line += "word ";
  testing::write_text(scratch.path() / "a.txt", line + "\n\n" + std::string(5000, 'x'));
  const TextSource source(find_input({scratch.path().string()}, "auto"), {});
  std::string all;
  for (const std::string& s : sample_sentences(source, 1 << 20)) {
    EXPECT_LE(s.size(), 2048u);
    all += s;
  }
  EXPECT_EQ(std::count(all.begin(), all.end(), 'w'), 2000);
  EXPECT_EQ(std::count(all.begin(), all.end(), 'x'), 5000);
}

}  // namespace
}  // namespace tutti
