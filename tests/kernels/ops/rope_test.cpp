#include "kernels/ops/rope.h"

#include <numbers>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(Rope, FrequenciesByHand) {
  test::expect_near(rope_frequencies({.theta = 100}, 4), std::vector<double>{1, 0.1}, 1e-12);
  const RopeShape linear{.theta = 100, .scaling = RopeShape::Scaling::linear, .factor = 4};
  test::expect_near(rope_frequencies(linear, 4), std::vector<double>{0.25, 0.025}, 1e-12);
}

TEST(Rope, Llama3StretchesLongWavesOnly) {
  const RopeShape plain{.theta = 500000};
  RopeShape scaled = plain;
  scaled.scaling = RopeShape::Scaling::llama3;
  scaled.factor = 8;
  const auto before = rope_frequencies(plain, 128), after = rope_frequencies(scaled, 128);
  EXPECT_EQ(after.front(), before.front());
  EXPECT_NEAR(after.back(), before.back() / 8, 1e-15);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_LE(after[i], before[i]);
    EXPECT_GE(after[i], before[i] / 8 * (1 - 1e-12));
    const double wavelength = 2 * std::numbers::pi / before[i];
    if (wavelength < 8192.0 / 4) {
      EXPECT_EQ(after[i], before[i]);
    }
  }
}

TEST(Rope, TurnsPairsByThePosition) {
  const RopeTable table({.theta = 100}, 4, 10);
  std::vector<float> x{1, 2, 3, 4, 5, 6, 7, 8};  // two heads
  table.rotate<float>({x.data(), 1, 8}, 2, std::vector<std::int32_t>{3});
  const auto expect_pair = [&](int i, double a, double b, double angle) {
    EXPECT_NEAR(double(x[i]), a * std::cos(angle) - b * std::sin(angle), 1e-5);
    EXPECT_NEAR(double(x[i + 2]), b * std::cos(angle) + a * std::sin(angle), 1e-5);
  };
  expect_pair(0, 1, 3, 3.0);
  expect_pair(1, 2, 4, 0.3);
  expect_pair(4, 5, 7, 3.0);
  expect_pair(5, 6, 8, 0.3);
}

template <class T>
void expect_inverse(double tolerance) {
  constexpr std::int64_t kRows = 5, kHeads = 3, kSize = 22, kStride = kHeads * kSize + 7;
  const RopeTable table({}, kSize, 100);
  const std::vector<std::int32_t> positions{0, 1, 2, 50, 99};
  const std::vector<T> before = random_values<T>(1, kRows * kStride);
  std::vector<T> x = before;
  const MatrixView<T> view(x.data(), kRows, kHeads * kSize, kStride);
  table.rotate(view, kHeads, positions);
  EXPECT_EQ(float(x[0]), float(before[0]));  // position 0 stays
  table.inverse(view, kHeads, positions);
  test::expect_near(test::to_floats(x), test::to_floats(before), tolerance);
}

TEST(Rope, InverseTurnsBack) {
  expect_inverse<float>(1e-5);
  expect_inverse<bf16>(0.05);
}

TEST(Rope, RejectsOddHeads) {
  EXPECT_THROW(RopeTable({}, 3, 10), std::invalid_argument);
  EXPECT_THROW(RopeTable({}, 4, 0), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
