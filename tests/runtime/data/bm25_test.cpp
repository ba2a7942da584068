#include "runtime/data/bm25.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(Bm25, RareWordsCountMoreThanCommonOnes) {
  Bm25 words;
  words.add("the file is copied to the disk");
  words.add("the socket is polled");
  words.add("The Disk and the file");
  EXPECT_EQ(words.best("polled file", 10), (std::vector<std::int64_t>{1, 2, 0}));
  EXPECT_EQ(words.best("FILE!", 1), std::vector<std::int64_t>{2})
      << "of two that match, the shorter one";
  EXPECT_TRUE(words.best("absent", 10).empty());
  EXPECT_TRUE(words.best("", 10).empty());
}

TEST(Bm25, TiesGoByNumber) {
  Bm25 words;
  for (int i = 0; i < 4; ++i) words.add("same words");
  EXPECT_EQ(words.best("words", 3), (std::vector<std::int64_t>{0, 1, 2}));
}

TEST(Bm25, RepeatedWordsSaturate) {
  Bm25 words;
  words.add("alpha alpha alpha alpha alpha alpha");
  words.add("alpha beta gamma delta epsilon zeta");
  EXPECT_EQ(words.best("alpha beta", 2), (std::vector<std::int64_t>{1, 0}));
}

}  // namespace
}  // namespace tutti
