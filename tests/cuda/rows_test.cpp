#include "kernels/ops/rows.h"

#include "kernels/ops/rope_cuda.h"
#include "kernels/ops/rows_cuda.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::DeviceBuffer;
using test::on_device;
using test::on_host;

std::vector<std::int32_t> random_indices(std::uint64_t seed, std::int64_t count, int below) {
  std::vector<std::int32_t> indices;
  for (std::int64_t i = 0; i < count; ++i)
    indices.push_back(std::int32_t(random_u64(seed, 0, std::uint64_t(i)) % std::uint64_t(below)));
  return indices;
}

TEST(RowsCuda, EmbedsAndAddsBackInOrder) {
  for (const std::int64_t cols : {8, 48, 1040}) {
    const std::int64_t rows = 77, words = 20, places = 9;
    const auto table = test::random_values(1, words * cols),
               positions = test::random_values(2, places * cols),
               gradient = test::random_values(3, rows * cols);
    const auto index = random_indices(4, rows, words), position = random_indices(5, rows, places);
    const auto d_table = on_device(table), d_positions = on_device(positions),
               d_gradient = on_device(gradient);
    const auto d_index = on_device(index), d_position = on_device(position);
    DeviceBuffer<float> x(rows * cols);
    cuda::embed({d_table.data(), words, cols}, d_index.data(), {d_positions.data(), places, cols},
                d_position.data(), {x.data(), rows, cols}, test::stream());
    std::vector<float> expected;
    for (std::int64_t i = 0; i < rows * cols; ++i)
      expected.push_back(table[index[i / cols] * cols + i % cols] +
                         positions[position[i / cols] * cols + i % cols]);
    EXPECT_EQ(on_host(x), expected);

    auto sums = table;
    reference::scatter_add_rows(index, {gradient.data(), rows, cols}, {sums.data(), words, cols});
    auto d_sums = on_device(table);
    cuda::ScatterPlan plan;
    plan.make(index, test::stream());
    plan.add({d_gradient.data(), rows, cols}, {d_sums.data(), words, cols}, test::stream());
    EXPECT_EQ(on_host(d_sums), sums);
  }
}

template <class T>
void expect_column_sums(std::int64_t rows, std::int64_t cols) {
  const auto x = test::random_values<T>(1, rows * cols);
  const auto d_x = on_device(x);
  DeviceBuffer<float> partials(cuda::slabs_of(rows) * cols);
  auto total = on_device(std::vector<float>(std::size_t(cols), 2.0f));
  cuda::add_column_sums<T>({d_x.data(), rows, cols}, {partials.data(), cuda::slabs_of(rows), cols},
                           total.data(), test::stream());
  std::vector<double> expected(std::size_t(cols), 2.0);
  for (std::int64_t i = 0; i < rows * cols; ++i) expected[i % cols] += double(float(x[i]));
  test::expect_near(on_host(total), expected, 1e-4, 1e-5);
}

TEST(RowsCuda, SumsColumns) {
  for (const std::int64_t rows : {1, 16, 700})
    for (const std::int64_t cols : {8, 56, 1048}) {
      expect_column_sums<float>(rows, cols);
      expect_column_sums<bf16>(rows, cols);
    }
}

template <class T>
void expect_rope(double tolerance) {
  const std::int64_t rows = 23, heads = 3, size = 16, stride = 64, limit = 40;
  const RopeShape shape;
  const auto x = test::random_values<T>(1, rows * stride);
  const auto positions = random_indices(2, rows, limit);
  auto expected = x;
  const RopeTable table(shape, size, limit);
  table.rotate<T>({expected.data(), rows, heads * size, stride}, heads, positions);
  auto d_x = on_device(x);
  const auto d_positions = on_device(positions);
  const cuda::Rope rope(shape, size, limit, test::stream());
  rope.turn<T>({d_x.data(), rows, heads * size, stride}, heads, d_positions.data(), false,
               test::stream());
  test::expect_near(test::to_floats(on_host(d_x)), test::to_floats(expected), tolerance, tolerance);
  table.inverse<T>({expected.data(), rows, heads * size, stride}, heads, positions);
  rope.turn<T>({d_x.data(), rows, heads * size, stride}, heads, d_positions.data(), true,
               test::stream());
  test::expect_near(test::to_floats(on_host(d_x)), test::to_floats(expected), tolerance, tolerance);
}

TEST(RowsCuda, TurnsQueriesAndKeys) {
  expect_rope<float>(1e-5);
  expect_rope<bf16>(1e-2);
}

}  // namespace
}  // namespace tutti
