#include "kernels/ops/swiglu.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(SwigluReference, ByHand) {
  EXPECT_DOUBLE_EQ(reference::silu(0.0), 0);
  EXPECT_NEAR(reference::silu(1.0), 0.7310585786300049, 1e-15);
  const double x = 0.7, h = 1e-5;
  EXPECT_NEAR(reference::silu_derivative(x),
              (reference::silu(x + h) - reference::silu(x - h)) / (2 * h), 1e-9);
}

constexpr std::int64_t kRows = 3, kCols = 37, kStride = 41;

template <class T>
void expect_like_the_reference(double tolerance) {
  const auto gates = random_values(1, kRows * kStride, 3.0),
             ups = random_values(2, kRows * kStride), d_out = random_values(3, kRows * kStride);
  std::vector<T> gate(kRows * kStride), up(gate), out(gate), d_gate(gate), d_up(gate);
  const auto wide = [](const std::vector<float>& v) {
    return MatrixView<const float>(v.data(), kRows, kCols, kStride);
  };
  const auto view = [](std::vector<T>& v) {
    return MatrixView<T>(v.data(), kRows, kCols, kStride);
  };
  swiglu<T>(wide(gates), wide(ups), view(gate), view(up), view(out));
  swiglu_backward<T>(wide(d_out), view(gate), view(up), view(d_gate), view(d_up));
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t c = 0; c < kCols; ++c) {
      const std::int64_t i = r * kStride + c;
      const double x = double(gates[i]), y = double(ups[i]), d = double(d_out[i]);
      const double gx = double(float(gate[i])), gy = double(float(up[i]));
      EXPECT_NEAR(double(float(out[i])), reference::silu(x) * y, tolerance * (1 + std::abs(x * y)));
      EXPECT_NEAR(double(float(d_gate[i])), d * gy * reference::silu_derivative(gx),
                  tolerance * (1 + std::abs(d * gy)));
      EXPECT_NEAR(double(float(d_up[i])), d * reference::silu(gx),
                  tolerance * (1 + std::abs(d * gx)));
    }
}

TEST(Swiglu, MatchesTheReference) {
  expect_like_the_reference<float>(1e-6);
  expect_like_the_reference<bf16>(8e-3);
}

TEST(Swiglu, RejectsDifferentShapes) {
  std::vector<float> a(10);
  const MatrixView<float> two(a.data(), 2, 5), one(a.data(), 1, 5);
  EXPECT_THROW(swiglu<float>(two, one, two, two, two), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
