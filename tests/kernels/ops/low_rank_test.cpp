#include "kernels/ops/low_rank.h"

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kRows = 64, kOutputs = 1056, kInputs = 40, kRank = 3;
constexpr float kScale = 0.5f;

LowRankShape shape() {
  return {.rows = kRows,
          .outputs = kOutputs,
          .inputs = kInputs,
          .rank = kRank,
          .scale = kScale,
          .x_stride = kInputs,
          .y_stride = kOutputs,
          .dy_stride = kOutputs,
          .dx_stride = kInputs,
          .low_stride = kRank};
}

// left [rows, inner] right, which is [inner, cols], or its transpose [cols, inner].
std::vector<float> product(const std::vector<float>& left, const std::vector<float>& right,
                           std::int64_t inner, bool transposed) {
  const std::int64_t rows = std::ssize(left) / inner, cols = std::ssize(right) / inner;
  std::vector<float> result;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) {
      double sum = 0;
      for (std::int64_t k = 0; k < inner; ++k)
        sum += double(left[r * inner + k]) *
               double(transposed ? right[c * inner + k] : right[k * cols + c]);
      result.push_back(float(sum));
    }
  return result;
}

std::vector<float> scaled(std::vector<float> values) {
  for (float& value : values) value *= kScale;
  return values;
}

std::vector<float> sum_of(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

TEST(LowRank, IsItsDefinitionInBothDirectionsAndBlockByBlock) {
  const auto a = test::random_values(1, kRank * kInputs),
             b = test::random_values(2, kOutputs * kRank),
             x = test::random_values(3, kRows * kInputs),
             dy = test::random_values(4, kRows * kOutputs),
             y0 = test::random_values(5, kRows * kOutputs),
             dx0 = test::random_values(6, kRows * kInputs);
  LowRank<float> adapter(shape());
  adapter.load(a.data(), b.data());
  AlignedBuffer<std::byte> scratch(adapter.scratch_bytes());
  std::vector<float> low(kRows * kRank), d_low(kRows * kRank);

  adapter.low(x.data(), {low.data(), kRows, kRank}, scratch.data());
  test::expect_near(low, scaled(product(x, a, kInputs, true)), 1e-4);
  adapter.d_low(dy.data(), {d_low.data(), kRows, kRank}, scratch.data());
  test::expect_near(d_low, scaled(product(dy, b, kOutputs, false)), 1e-3);

  const auto y = sum_of(y0, product(low, b, kRank, true)),
             dx = sum_of(dx0, product(d_low, a, kRank, false));
  auto whole = y0, blocks = y0, d_whole = dx0, d_blocks = dx0;
  adapter.add(low.data(), whole.data(), scratch.data());
  adapter.add_dx(d_low.data(), d_whole.data(), scratch.data());
  for (std::int64_t i = 0; i < kOutputs; i += Linear::block_of(kOutputs))
    adapter.add_block(i / Linear::block_of(kOutputs), low.data(), blocks.data() + i,
                      scratch.data());
  adapter.add_dx_block(0, d_low.data(), d_blocks.data(), scratch.data());
  test::expect_near(whole, y, 1e-4);
  test::expect_near(d_whole, dx, 1e-3);
  EXPECT_EQ(blocks, whole);
  EXPECT_EQ(d_blocks, d_whole);
}

}  // namespace
}  // namespace tutti
