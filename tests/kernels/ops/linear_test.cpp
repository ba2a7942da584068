#include "kernels/ops/linear.h"

#include <gtest/gtest.h>

#include "kernels/core/arena.h"
#include "tests/kernels/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kRows = 64;

struct Result {
  std::vector<float> y, dx;
};

Result run(const LinearShape& s, ProductBackend backend) {
  const auto weights = test::random_values(1, s.outputs * s.inputs, 0.1);
  const auto x = test::random_values(2, kRows * s.x_stride);
  const auto dy = test::random_values(3, kRows * s.dy_stride);
  Linear linear(s, backend);
  for (std::int64_t task = 0; task < linear.pack_tasks(); ++task) linear.pack(task, weights.data());
  AlignedBuffer<std::byte> scratch(linear.scratch_bytes());
  Result result{std::vector<float>(kRows * s.y_stride, 9.0f),
                std::vector<float>(kRows * s.dx_stride, 9.0f)};
  linear.forward(x.data(), result.y.data(), scratch.data());
  linear.backward(dy.data(), result.dx.data(), scratch.data());
  return result;
}

LinearShape shape_of(std::int64_t outputs, std::int64_t inputs, bool cut_outputs) {
  return {kRows,      outputs,     inputs,      cut_outputs, DType::f32,
          inputs + 2, outputs + 3, outputs + 1, inputs + 4};
}

// By loops over the same data.
Result expected(const LinearShape& s) {
  const auto weights = test::random_values(1, s.outputs * s.inputs, 0.1);
  const auto x = test::random_values(2, kRows * s.x_stride);
  const auto dy = test::random_values(3, kRows * s.dy_stride);
  Result result{std::vector<float>(kRows * s.y_stride, 9.0f),
                std::vector<float>(kRows * s.dx_stride, 9.0f)};
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t o = 0; o < s.outputs; ++o) {
      double sum = 0;
      for (std::int64_t i = 0; i < s.inputs; ++i)
        sum += double(x[r * s.x_stride + i]) * weights[o * s.inputs + i];
      result.y[r * s.y_stride + o] = static_cast<float>(sum);
    }
    for (std::int64_t i = 0; i < s.inputs; ++i) {
      double sum = 0;
      for (std::int64_t o = 0; o < s.outputs; ++o)
        sum += double(dy[r * s.dy_stride + o]) * weights[o * s.inputs + i];
      result.dx[r * s.dx_stride + i] = static_cast<float>(sum);
    }
  }
  return result;
}

TEST(Linear, BothDirectionsMatchLoops) {
  struct Case {
    std::int64_t outputs, inputs, blocks;
    bool cut_outputs;
  };
  for (const Case& c : {Case{40, 24, 1, true}, Case{768, 64, 2, true}, Case{64, 768, 2, false},
                        Case{1030, 48, 3, true}, Case{48, 1030, 3, false}}) {
    const LinearShape s = shape_of(c.outputs, c.inputs, c.cut_outputs);
    EXPECT_EQ(Linear(s).blocks(), c.blocks);
    const Result correct = expected(s);
    for (const auto backend :
         {ProductBackend::reference, ProductBackend::onednn, ProductBackend::openblas}) {
      const Result result = run(s, backend);
      test::expect_near(result.y, correct.y, 1e-4);
      test::expect_near(result.dx, correct.dx, 1e-4);
    }
  }
}

}  // namespace
}  // namespace tutti
