#include "kernels/ops/activation_cuda.h"
#include "kernels/ops/gelu.h"
#include "kernels/ops/rows_cuda.h"
#include "kernels/ops/swiglu.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::DeviceBuffer;
using test::on_device;
using test::on_host;

template <class T>
void expect_gelu(std::int64_t rows, std::int64_t cols, double tolerance) {
  const auto product = test::random_values<T>(1, rows * cols, 2),
             d_out = test::random_values<T>(2, rows * cols);
  const auto bias = test::random_values(3, cols);
  auto d_product = on_device(product);
  const auto dd_out = on_device(d_out);
  const auto d_bias = on_device(bias);
  DeviceBuffer<T> out(rows * cols);
  DeviceBuffer<float> partials(cuda::slabs_of(rows) * cols);
  auto total = on_device(std::vector<float>(std::size_t(cols), 0.5f));
  cuda::bias_gelu<T>({d_product.data(), rows, cols}, d_bias.data(), {out.data(), rows, cols},
                     test::stream());
  cuda::bias_gelu_backward<T>({dd_out.data(), rows, cols}, {d_product.data(), rows, cols},
                              d_bias.data(), {d_product.data(), rows, cols},
                              {partials.data(), cuda::slabs_of(rows), cols}, test::stream());
  cuda::add_partial_sums({partials.data(), cuda::slabs_of(rows), cols}, total.data(),
                         test::stream());
  std::vector<double> expected, slopes, sums(std::size_t(cols), 0.5);
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const double u = double(float(product[i])) + double(bias[i % cols]);
    expected.push_back(reference::gelu(u));
    slopes.push_back(double(float(d_out[i])) * reference::gelu_derivative(u));
    sums[i % cols] += slopes.back();
  }
  test::expect_near(test::to_floats(on_host(out)), expected, tolerance, tolerance);
  test::expect_near(test::to_floats(on_host(d_product)), slopes, tolerance, tolerance);
  test::expect_near(on_host(total), sums, 1e-4, 1e-4);
}

template <class T>
void expect_swiglu(std::int64_t rows, std::int64_t cols, double tolerance) {
  const auto gate = test::random_values<T>(1, rows * cols, 2),
             up = test::random_values<T>(2, rows * cols),
             d_out = test::random_values<T>(3, rows * cols);
  auto d_gate = on_device(gate), d_up = on_device(up);
  const auto dd_out = on_device(d_out);
  DeviceBuffer<T> out(rows * cols);
  cuda::swiglu<T>({d_gate.data(), rows, cols}, {d_up.data(), rows, cols}, {out.data(), rows, cols},
                  test::stream());
  cuda::swiglu_backward<T>({dd_out.data(), rows, cols}, {d_gate.data(), rows, cols},
                           {d_up.data(), rows, cols}, {d_gate.data(), rows, cols},
                           {d_up.data(), rows, cols}, test::stream());
  std::vector<double> expected, gates, ups;
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const double g = double(float(gate[i])), u = double(float(up[i])), d = double(float(d_out[i]));
    expected.push_back(reference::silu(g) * u);
    gates.push_back(d * u * reference::silu_derivative(g));
    ups.push_back(d * reference::silu(g));
  }
  test::expect_near(test::to_floats(on_host(out)), expected, tolerance, tolerance);
  test::expect_near(test::to_floats(on_host(d_gate)), gates, tolerance, tolerance);
  test::expect_near(test::to_floats(on_host(d_up)), ups, tolerance, tolerance);
}

TEST(ActivationCuda, MatchesTheReference) {
  for (const std::int64_t rows : {1, 16, 37})
    for (const std::int64_t cols : {8, 40, 1032}) {
      expect_gelu<float>(rows, cols, 1e-5);
      expect_gelu<bf16>(rows, cols, 1e-2);
      expect_swiglu<float>(rows, cols, 1e-5);
      expect_swiglu<bf16>(rows, cols, 1e-2);
    }
}

}  // namespace
}  // namespace tutti
