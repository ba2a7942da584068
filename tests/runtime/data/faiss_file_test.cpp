#include "runtime/data/faiss_file.h"

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

// Bytes that faiss 1.15.1 reads, and writes itself.
TEST(FaissFile, FlatHeaders) {
  const std::string rest =
      "02000000"          // dimensions
      "0300000000000000"  // vectors
      "0000100000000000"  // unused
      "0000100000000000"  // unused
      "01";               // trained
  const std::string floats = "0600000000000000";
  EXPECT_EQ(hex(faiss_flat_header({2, 3, false})), "49784632" + rest + "01000000" + floats);
  EXPECT_EQ(hex(faiss_flat_header({2, 3, true})), "49784649" + rest + "00000000" + floats);
}

TEST(FaissFile, ListsHeader) {
  const std::vector<float> centroids = {1, 2, 3, 4};
  const std::vector<std::int64_t> sizes = {3, 0};
  EXPECT_EQ(hex(faiss_lists_header({2, 3, false}, centroids, 1, sizes)),
            "4977466c"                          // IwFl
            "02000000"                          // dimensions
            "0300000000000000"                  // vectors
            "0000100000000000"                  // unused
            "0000100000000000"                  // unused
            "01"                                // trained
            "01000000"                          // L2
            "0200000000000000"                  // lists
            "0100000000000000"                  // nprobe
            "49784632"                          // IxF2
            "02000000"                          // dimensions
            "0200000000000000"                  // centroids
            "0000100000000000"                  // unused
            "0000100000000000"                  // unused
            "01"                                // trained
            "01000000"                          // L2
            "0400000000000000"                  // numbers
            "0000803f000000400000404000008040"  // 1 2 3 4
            "00"                                // no direct map
            "0000000000000000"                  // which is empty
            "696c6172"                          // ilar
            "0200000000000000"                  // lists
            "0800000000000000"                  // bytes of a vector
            "66756c6c"                          // full
            "0200000000000000"                  // lists
            "03000000000000000000000000000000");
}

TEST(FaissFile, CodesHeader) {
  const std::vector<float> centroids = {1, 2, 3, 4};
  const std::vector<float> codewords(512, 1);
  const std::vector<std::int64_t> sizes = {3, 0};
  std::string ones;
  for (int i = 0; i < 512; ++i) ones += "0000803f";
  EXPECT_EQ(hex(faiss_codes_header({2, 3, true}, centroids, 1, {2, codewords}, sizes)),
            "49775051"                          // IwPQ
            "02000000"                          // dimensions
            "0300000000000000"                  // vectors
            "0000100000000000"                  // unused
            "0000100000000000"                  // unused
            "01"                                // trained
            "00000000"                          // inner product
            "0200000000000000"                  // lists
            "0100000000000000"                  // nprobe
            "49784649"                          // IxFI
            "02000000"                          // dimensions
            "0200000000000000"                  // centroids
            "0000100000000000"                  // unused
            "0000100000000000"                  // unused
            "01"                                // trained
            "00000000"                          // inner product
            "0400000000000000"                  // numbers
            "0000803f000000400000404000008040"  // 1 2 3 4
            "00"                                // no direct map
            "0000000000000000"                  // which is empty
            "01"                                // of residuals
            "0200000000000000"                  // bytes of a code
            "0200000000000000"                  // dimensions
            "0200000000000000"                  // parts
            "0800000000000000"                  // bits of a part
            "0002000000000000"                  // numbers
                + ones +
                "696c6172"          // ilar
                "0200000000000000"  // lists
                "0200000000000000"  // bytes of a code
                "66756c6c"          // full
                "0200000000000000"  // lists
                "03000000000000000000000000000000");
}

}  // namespace
}  // namespace tutti
