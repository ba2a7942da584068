#include "kernels/ops/dropout.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kRows = 40, kCols = 333;

std::vector<std::uint64_t> keys_of(std::int64_t rows) {
  std::vector<std::uint64_t> keys;
  for (std::int64_t r = 0; r < rows; ++r) keys.push_back(random_u64(1, 2, r));
  return keys;
}

template <class T>
std::vector<T> dropped(const std::vector<float>& x, float rate, std::span<const std::uint64_t> keys,
                       std::uint64_t place) {
  const std::int64_t rows = std::ssize(keys);
  std::vector<T> out(x.size());
  dropout<T>({x.data(), rows, kCols}, {rate, keys}, place, {out.data(), rows, kCols});
  return out;
}

TEST(Dropout, DropsItsShareAndScalesTheRest) {
  const std::vector<float> x(kRows * kCols, 2.0f);
  for (const float rate : {0.0f, 0.1f, 0.5f, 0.9f}) {
    double zeros = 0;
    for (const float value : dropped<float>(x, rate, keys_of(kRows), 7)) {
      zeros += value == 0;
      EXPECT_TRUE(value == 0 || value == 2.0f * (1.0f / (1.0f - rate)));
    }
    EXPECT_NEAR(zeros / double(x.size()), double(rate), 0.02);
  }
}

TEST(Dropout, IsAFunctionOfKeyPlaceAndColumn) {
  const auto x = test::random_values(1, kRows * kCols);
  const auto keys = keys_of(kRows);
  const auto whole = dropped<float>(x, 0.3f, keys, 7);
  EXPECT_NE(dropped<float>(x, 0.3f, keys, 8), whole);
  // The last rows alone, and in place.
  std::vector<float> part(x.begin() + 30 * kCols, x.end());
  const MatrixView<float> view(part.data(), 10, kCols);
  dropout<float>(view, {0.3f, std::span(keys).subspan(30)}, 7, view);
  EXPECT_TRUE(test::same_bytes(part, std::vector<float>(whole.begin() + 30 * kCols, whole.end())));
  const auto narrow = dropped<bf16>(x, 0.3f, keys, 7);
  for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_EQ(narrow[i], bf16(whole[i]));
}

TEST(Dropout, RejectsMisuse) {
  std::vector<float> x(2 * kCols);
  const auto keys = keys_of(1);
  const MatrixView<float> view(x.data(), 2, kCols);
  EXPECT_THROW(dropout<float>(view, {0.5f, keys}, 0, view), std::invalid_argument);
  const auto enough = keys_of(2);
  EXPECT_THROW(dropout<float>(view, {1.0f, enough}, 0, view), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
