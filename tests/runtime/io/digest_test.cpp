#include "runtime/io/digest.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(Digest, is_xxh3_128) {
  EXPECT_EQ(digest_of(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digest_of("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(Digest, does_not_see_where_pieces_are_cut) {
  const std::string text(5000, 'x');
  for (std::size_t cut : {0, 1, 239, 240, 256, 1024, 4999}) {
    Digest digest;
    digest.add(text.substr(0, cut));
    digest.add(text.substr(cut));
    EXPECT_EQ(digest.hex(), digest_of(text)) << cut;
  }
}

TEST(Digest, can_be_asked_on_the_way) {
  Digest digest;
  digest.add("ab");
  EXPECT_EQ(digest.hex(), digest_of("ab"));
  digest.add("c");
  EXPECT_EQ(digest.hex(), digest_of("abc"));
}

}  // namespace
}  // namespace tutti
