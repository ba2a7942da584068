#include "kernels/ops/weight_gradient.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "kernels/core/parallel.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

template <class T>
std::vector<float> run(const WeightGradientShape& s, std::int64_t rows, const std::vector<T>& dy,
                       const std::vector<T>& x) {
  const WeightGradient gradient(s);
  std::vector<float> dw(s.outputs * s.inputs, 2.0f);
  ThreadScratch scratch(WeightGradient::kSlots);
  scratch.prepare();
  parallel_for_dynamic(gradient.panels(), [&](std::int64_t panel) {
    gradient.run(panel, rows, dy.data(), x.data(), dw.data(), scratch, 0);
  });
  return dw;
}

template <class T>
std::vector<double> expected(const WeightGradientShape& s, std::int64_t rows,
                             const std::vector<T>& dy, const std::vector<T>& x) {
  std::vector<double> dw(s.outputs * s.inputs, 2.0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t o = 0; o < s.outputs; ++o)
      for (std::int64_t i = 0; i < s.inputs; ++i)
        dw[o * s.inputs + i] +=
            double(float(dy[r * s.dy_stride + o])) * float(x[r * s.x_stride + i]);
  return dw;
}

TEST(WeightGradient, MatchesLoops) {
  for (const std::int64_t rows : {64, 448, 1088})
    for (const auto& [outputs, inputs] : {std::pair{24, 40}, {300, 64}, {64, 1030}}) {
      const WeightGradientShape s{outputs, inputs, outputs + 3, inputs + 5, DType::f32};
      const auto dy = test::random_values(1, rows * s.dy_stride);
      const auto x = test::random_values(2, rows * s.x_stride);
      test::expect_near(run(s, rows, dy, x), expected(s, rows, dy, x), 5e-4);
    }
}

TEST(WeightGradient, MatchesLoopsInBFloat16) {
  for (const std::int64_t rows : {128, 1088, 2496})
    for (const auto& [outputs, inputs] : {std::pair{96, 40}, {300, 64}, {64, 1030}}) {
      const WeightGradientShape s{outputs, inputs, outputs + 3, inputs + 5, DType::bf16};
      const auto dy = test::random_values<bf16>(1, rows * s.dy_stride);
      const auto x = test::random_values<bf16>(2, rows * s.x_stride);
      test::expect_near(run(s, rows, dy, x), expected(s, rows, dy, x), 1e-3);
    }
}

TEST(WeightGradient, BytesDoNotDependOnThreads) {
  const WeightGradientShape s{300, 520, 300, 520, DType::f32};
  const auto dy = test::random_values(1, 704 * s.dy_stride);
  const auto x = test::random_values(2, 704 * s.x_stride);
  test::expect_same_bytes_for_any_threads([&] { return run(s, 704, dy, x); });
}

TEST(WeightGradient, BytesDoNotDependOnThreadsInBFloat16) {
  const WeightGradientShape s{300, 1030, 300, 1030, DType::bf16};
  const auto dy = test::random_values<bf16>(1, 1216 * s.dy_stride);
  const auto x = test::random_values<bf16>(2, 1216 * s.x_stride);
  test::expect_same_bytes_for_any_threads([&] { return run(s, 1216, dy, x); });
}

TEST(WeightGradient, RejectsMisuse) {
  EXPECT_THROW(WeightGradient({0, 4, 4, 4, DType::f32}), std::invalid_argument);
  EXPECT_THROW(WeightGradient({4, 4, 3, 4, DType::f32}), std::invalid_argument);
  const WeightGradient gradient({4, 4, 4, 4, DType::f32});
  ThreadScratch scratch(WeightGradient::kSlots);
  EXPECT_THROW(gradient.run(0, 65, nullptr, nullptr, nullptr, scratch, 0), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
