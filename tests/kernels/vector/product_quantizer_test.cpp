#include "kernels/vector/product_quantizer.h"

#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::Matrix;

std::vector<std::uint8_t> codes_of(const ProductQuantizer& quantizer, const Matrix& vectors) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(vectors.rows * quantizer.parts()));
  quantizer.encode(vectors.view(), {codes.data(), vectors.rows, quantizer.parts()});
  return codes;
}

double square(const float* a, const float* b, std::int64_t dim) {
  double sum = 0;
  for (std::int64_t j = 0; j < dim; ++j) sum += double(a[j] - b[j]) * double(a[j] - b[j]);
  return sum;
}

TEST(ProductQuantizer, AsManyVectorsAsCodewordsAreTheCodewords) {
  const Matrix vectors(256, 6, 1);
  const ProductQuantizer quantizer(vectors.view(), 3, 1);
  const std::vector<std::uint8_t> codes = codes_of(quantizer, vectors);
  ASSERT_EQ(quantizer.codewords().size(), 3 * 256 * 2);
  for (std::int64_t i = 0; i < 256; ++i)
    for (std::int64_t part = 0; part < 3; ++part) {
      const std::int64_t word = part * 256 + codes[std::size_t(i * 3 + part)];
      for (std::int64_t j = 0; j < 2; ++j)
        EXPECT_EQ(quantizer.codewords()[std::size_t(word * 2 + j)],
                  vectors.view()(i, part * 2 + j));
    }
}

TEST(ProductQuantizer, ACodeNamesTheNearestCodewordAndThreadsDoNotMatter) {
  const Matrix vectors(1000, 21, 2), others(77, 21, 3);
  const ProductQuantizer quantizer(vectors.view(), 3, 5, 4);
  const std::vector<std::uint8_t> codes = codes_of(quantizer, others);
  for (std::int64_t i = 0; i < others.rows; ++i)
    for (std::int64_t part = 0; part < 3; ++part) {
      const float* words = quantizer.codewords().data() + part * 256 * 7;
      const float* vector = others.view().row(i) + part * 7;
      const double mine = square(vector, words + codes[std::size_t(i * 3 + part)] * 7, 7);
      for (std::int64_t word = 0; word < 256; ++word)
        EXPECT_LE(mine, square(vector, words + word * 7, 7) * 1.00001);
    }
  const test::Threads threads(3);
  const ProductQuantizer again(vectors.view(), 3, 5, 4);
  EXPECT_TRUE(std::ranges::equal(again.codewords(), quantizer.codewords()));
  EXPECT_EQ(codes_of(again, others), codes);
  EXPECT_FALSE(std::ranges::equal(ProductQuantizer(vectors.view(), 3, 6, 4).codewords(),
                                  quantizer.codewords()));
}

TEST(ProductQuantizer, ResidualsByHand) {
  Matrix vectors(2, 2, 0);
  vectors.values = {1, 2, 3, 5};
  EXPECT_EQ(residuals_of(vectors.view(), std::vector<float>{1, 0.5}),
            (std::vector<float>{0, 1.5, 2, 4.5}));
  EXPECT_THROW(residuals_of(vectors.view(), std::vector<float>{1}), std::invalid_argument);
}

TEST(ProductQuantizer, Misuse) {
  Matrix vectors(300, 6, 1);
  EXPECT_THROW(ProductQuantizer(vectors.view(), 4, 1), std::invalid_argument);
  EXPECT_THROW(ProductQuantizer(vectors.view(), 0, 1), std::invalid_argument);
  EXPECT_THROW(ProductQuantizer(vectors.view().row_range(0, 255), 3, 1), std::invalid_argument);
  const ProductQuantizer quantizer(vectors.view(), 2, 1, 2);
  std::vector<std::uint8_t> codes(600);
  EXPECT_THROW(quantizer.encode(vectors.view(), {codes.data(), 200, 3}), std::invalid_argument);
  vectors.view()(7, 4) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(quantizer.encode(vectors.view(), {codes.data(), 300, 2}), std::invalid_argument);
  EXPECT_THROW(ProductQuantizer(vectors.view(), 2, 1, 2), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
