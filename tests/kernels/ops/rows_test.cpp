#include "kernels/ops/rows.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(Rows, AddBias) {
  const std::vector<float> product{1, 2, 3, 4, 5, 6}, bias{10, 20};
  std::vector<float> out(4);
  add_bias<float>({product.data(), 2, 2, 3}, bias.data(), {out.data(), 2, 2});
  EXPECT_EQ(out, (std::vector<float>{11, 22, 14, 25}));
  std::vector<bf16> narrow(4);
  add_bias<bf16>({product.data(), 2, 2, 3}, nullptr, {narrow.data(), 2, 2});
  EXPECT_EQ(test::to_floats(narrow), (std::vector<float>{1, 2, 4, 5}));
  EXPECT_THROW(add_bias<float>({product.data(), 2, 2}, nullptr, {out.data(), 1, 2}),
               std::invalid_argument);
}

TEST(Rows, AddRows) {
  const std::vector<float> x{1, 2, 9, 3, 4, 9};
  std::vector<float> to{10, 20, 30, 40};
  add_rows({x.data(), 2, 2, 3}, {to.data(), 2, 2});
  EXPECT_EQ(to, (std::vector<float>{11, 22, 33, 44}));
  EXPECT_THROW(add_rows({x.data(), 2, 3}, {to.data(), 2, 2}), std::invalid_argument);
}

TEST(Rows, ColumnSums) {
  const std::vector<float> x{1, 2, 9, 3, 4, 9, 5, 6, 9};
  std::vector<float> sums(2, 7);
  column_sums<float>({x.data(), 3, 2, 3}, sums.data());
  EXPECT_EQ(sums, (std::vector<float>{9, 12}));
}

TEST(Rows, PartialSums) {
  for (const std::int64_t rows : {1, 2, 3, 7, 100}) {
    const std::int64_t cols = 700;
    auto partials = random_values(1, rows * cols);
    std::vector<float> total(600, 1.0f), expected(600, 1.0f);
    for (std::int64_t c = 0; c < 600; ++c) {
      double sum = 0;
      for (std::int64_t r = 0; r < rows; ++r) sum += partials[r * cols + 50 + c];
      expected[c] += static_cast<float>(sum);
    }
    const SumTarget targets[] = {{50, 500, total.data()}, {550, 100, total.data() + 500}};
    add_partial_sums({partials.data(), rows, cols}, targets);
    test::expect_near(total, expected, 1e-4);
  }
}

TEST(Rows, PartialSumsRejectATargetOutside) {
  std::vector<float> partials(10), total(10);
  const SumTarget targets[] = {{6, 5, total.data()}};
  EXPECT_THROW(add_partial_sums({partials.data(), 1, 10}, targets), std::invalid_argument);
}

TEST(Rows, PartialSumsHaveTheSameBytesForAnyThreads) {
  test::expect_same_bytes_for_any_threads([] {
    auto partials = random_values(1, 33 * 1000);
    std::vector<float> total(1000);
    const SumTarget targets[] = {{0, 1000, total.data()}};
    add_partial_sums({partials.data(), 33, 1000}, targets);
    return total;
  });
}

TEST(Rows, ScatterMatchesTheReference) {
  const std::int64_t count = 300, targets = 50, cols = 21;
  std::vector<std::int32_t> index(count);
  for (std::int64_t i = 0; i < count; ++i)
    index[i] = static_cast<std::int32_t>(random_u64(1, 0, i) % targets);
  const auto from = random_values(2, count * cols);
  const auto run = [&] {
    auto to = random_values(3, targets * cols);
    scatter_add_rows(index, {from.data(), count, cols}, {to.data(), targets, cols});
    return to;
  };
  auto expected = random_values(3, targets * cols);
  reference::scatter_add_rows(index, {from.data(), count, cols}, {expected.data(), targets, cols});
  EXPECT_TRUE(test::same_bytes(run(), expected));  // the order of each sum is part of the contract
  test::expect_same_bytes_for_any_threads(run);
}

TEST(Rows, ScatterRejectsMisuse) {
  std::vector<float> rows(8);
  const std::int32_t outside[] = {0, 4}, negative[] = {-1, 0}, one[] = {0};
  const MatrixView<const float> from(rows.data(), 2, 2);
  EXPECT_THROW(scatter_add_rows(outside, from, {rows.data(), 4, 2}), std::invalid_argument);
  EXPECT_THROW(scatter_add_rows(negative, from, {rows.data(), 4, 2}), std::invalid_argument);
  EXPECT_THROW(scatter_add_rows(one, from, {rows.data(), 4, 2}), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
