// Keys of single pairs are what plain loops over the codes give.
#include "kernels/vector/code_rows.h"

#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

using test::Matrix;

constexpr Metric kMetrics[] = {Metric::l2, Metric::inner_product, Metric::cosine};

float key_of(const CodeSpace& space, const std::int8_t* a, const std::int8_t* b) {
  std::int64_t prefix = 0, rest = 0;
  for (std::int64_t j = 0; j < space.code_dim(); ++j)
    (j < space.prefix() ? prefix : rest) += (a[j] - b[j]) * (a[j] - b[j]);
  const double steps = double(space.axes().rest_step) / double(space.axes().step);
  return static_cast<float>(double(prefix) + steps * steps * double(rest));
}

TEST(CodeRows, MeasureAsPlainLoopsDo) {
  for (const Metric metric : kMetrics)
    for (const std::int64_t dim : {1, 7, 33, 128, 300}) {
      const Matrix vectors(100, dim, 3), queries(5, dim, 4);
      const CodeSpace space(CodeSpace::train(vectors.view(), metric));
      CodeRows rows(space, 103);
      rows.put(3, vectors.view());
      std::vector<std::int8_t> codes(std::size_t(100 * space.code_dim()));
      space.encode_vectors(vectors.view(), {codes.data(), 100, space.code_dim()});
      const QueryCodes asked = space.encode_queries(queries.view());
      std::vector<std::int8_t> row(std::size_t(rows.row_bytes()));
      const std::vector<std::int32_t> some = {102, 3, 4, 57, 3};
      for (std::int64_t q = 0; q < asked.count(); ++q) {
        std::vector<float> keys(some.size());
        rows.lay_out(asked, q, row.data());
        rows.measure(row.data(), some.data(), std::ssize(some), keys.data());
        for (std::size_t i = 0; i < some.size(); ++i)
          EXPECT_EQ(keys[i], key_of(space, asked.code(q).data(),
                                    codes.data() + (some[i] - 3) * space.code_dim()));
      }
      EXPECT_EQ(CodeRows::bytes_per_row(space), rows.row_bytes());
    }
}

TEST(CodeRows, ALooseVectorHasTheCodeThatComesNearest) {
  const Matrix sample(200, 8, 5);
  Matrix far(2, 8, 6);
  for (float& x : far.values) x *= 100;
  for (const Metric metric : {Metric::l2, Metric::inner_product}) {
    const CodeSpace space(CodeSpace::train(sample.view(), metric));
    CodeRows rows(space, 2);
    rows.put(0, far.view());
    const QueryCodes codes = space.encode_queries(far.view());
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t j = 0; j < space.prefix(); ++j)
        EXPECT_EQ(rows.row(i)[j], codes.prefix(i)[j]);
  }
  const CodeSpace space(CodeSpace::train(sample.view(), Metric::l2));
  EXPECT_THROW(CodeRows(space, 1).put(0, far.view()), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
