#include "runtime/data/hnswlib_file.h"

#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

// A file that hnswlib 0.8.0 loads: three vectors of two dimensions, 0 and 2 above the others.
TEST(HnswlibFile, IsTheOneThatHnswlibReads) {
  const std::vector<std::int32_t> edges = {1, 2};
  const std::vector<HnswlibUpper> upper = {{0, {{2}}}, {2, {{0}, {}}}};
  const HnswlibIndex index{2, 3, 4, upper};
  EXPECT_EQ(hex(hnswlib_header(index)),
            "0000000000000000"    // the lowest level begins an element
            "0300000000000000"    // most elements
            "0300000000000000"    // elements
            "2400000000000000"    // bytes of one
            "1c00000000000000"    // its label
            "1400000000000000"    // its vector
            "02000000"            // highest level
            "02000000"            // searches begin there
            "0200000000000000"    // edges above
            "0400000000000000"    // edges on the lowest level
            "0200000000000000"    // M
            "fe822b654715f73f"    // 1 / ln 2
            "c800000000000000");  // efConstruction
  std::string vector;
  const float values[] = {1, 2};
  append_hnswlib_vector(vector, index, {edges, true, values, 7});
  EXPECT_EQ(hex(vector),
            "0200"              // edges
            "0100"              // deleted
            "0100000002000000"  // 1 2
            "0000000000000000"
            "0000803f00000040"    // 1 2
            "0700000000000000");  // label
  EXPECT_EQ(std::int64_t(vector.size()), hnswlib_vector_bytes(index));
  EXPECT_EQ(hex(hnswlib_upper_levels(index)),
            "0c000000"                  // bytes of 0
            "010000000200000000000000"  // an edge, to 2
            "00000000"                  // bytes of 1
            "18000000"                  // bytes of 2
            "010000000000000000000000"  // an edge, to 0
            "000000000000000000000000");
}

TEST(HnswlibFile, MayHaveNoLevelAbove) {
  const HnswlibIndex index{2, 3, 4, {}};
  EXPECT_EQ(hex(hnswlib_header(index)).substr(96, 16), "0000000000000000");
  EXPECT_EQ(hnswlib_upper_levels(index), std::string(12, '\0'));
}

}  // namespace
}  // namespace tutti
