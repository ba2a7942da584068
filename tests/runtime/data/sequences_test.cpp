#include "runtime/data/sequences.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(Sequences, ATextIsCutToTheRoomWithinItsFrame) {
  const TextForm form{6, {{101, 7}, {102}}};
  EXPECT_EQ(form.room(), 3);
  Sequences sequences;
  sequences.add(Ids{1, 2, 3, 4, 5}, form);
  sequences.add(Ids{1}, form);
  sequences.add(Ids{}, form);
  EXPECT_EQ(sequences.tokens, (Ids{101, 7, 1, 2, 3, 102, 101, 7, 1, 102, 101, 7, 102}));
  EXPECT_EQ(sequences.offsets, (Ids{0, 6, 10, 13}));
}

TEST(Sequences, WithoutAFrameItIsOnlyCut) {
  Sequences sequences;
  sequences.add(Ids{1, 2, 3, 4, 5}, 2);
  sequences.add(Ids{1, 2, 3}, TextForm{4, {}});
  EXPECT_EQ(sequences.tokens, (Ids{1, 2, 1, 2, 3}));
  EXPECT_EQ(sequences.count(), 2);
}

}  // namespace
}  // namespace tutti
