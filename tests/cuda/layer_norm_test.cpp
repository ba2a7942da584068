#include "kernels/ops/layer_norm_cuda.h"
#include "kernels/ops/rows_cuda.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using cuda::DeviceBuffer;
using test::on_device;
using test::on_host;

template <class T>
void expect_norm(std::int64_t rows, std::int64_t cols, NormKind kind, bool with_added,
                 double tolerance) {
  SCOPED_TRACE(testing::Message() << rows << " x " << cols << " added " << with_added);
  const float epsilon = 1e-5f;
  const auto base = test::random_values(1, rows * cols), gain = test::random_values(2, cols),
             bias = test::random_values(3, cols), added_bias = test::random_values(4, cols),
             skip = test::random_values(5, rows * cols);
  const auto added = test::random_values<T>(6, rows * cols),
             d_out = test::random_values<T>(7, rows * cols);

  const auto d_base = on_device(base), d_gain = on_device(gain), d_bias = on_device(bias),
             d_added_bias = on_device(added_bias), d_skip = on_device(skip);
  const auto d_added = on_device(added), dd_out = on_device(d_out);
  DeviceBuffer<float> sum(rows * cols), mean(rows), rstd(rows), d_x(rows * cols),
      partials(cuda::slabs_of(rows) * 3 * cols);
  DeviceBuffer<T> out(rows * cols), narrow(rows * cols);
  const LayerNormWeights weights{d_gain.data(), d_bias.data(), kind, epsilon};
  const LayerNormStatistics statistics{mean.data(), rstd.data()};
  cuda::NormForward<T> forward{.base = {d_base.data(), rows, cols},
                               .weights = weights,
                               .out = {out.data(), rows, cols},
                               .statistics = statistics};
  if (with_added) {
    forward.added = {d_added.data(), rows, cols};
    forward.added_bias = d_added_bias.data();
    forward.sum = {sum.data(), rows, cols};
  }
  cuda::layer_norm(forward, test::stream());
  const float* x_data = with_added ? sum.data() : d_base.data();
  cuda::layer_norm_backward(
      cuda::NormBackward<T>{.d_out = {dd_out.data(), rows, cols},
                            .x = {x_data, rows, cols},
                            .statistics = statistics,
                            .gain = d_gain.data(),
                            .d_skip = {d_skip.data(), rows, cols},
                            .d_x = {d_x.data(), rows, cols},
                            .d_x_narrow = {narrow.data(), rows, cols},
                            .partials = {partials.data(), cuda::slabs_of(rows), 3 * cols},
                            .kind = kind},
      test::stream());
  const auto totals = on_device(std::vector<float>(std::size_t(3 * cols), 1.0f));
  cuda::add_partial_sums({partials.data(), cuda::slabs_of(rows), 3 * cols},
                         const_cast<float*>(totals.data()), test::stream());

  std::vector<double> expected(rows * cols), slopes(rows * cols), columns(3 * cols, 1.0),
      wide_gain = test::to_doubles(gain), wide_bias = test::to_doubles(bias);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::vector<double> x, d;
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::int64_t i = r * cols + c;
      x.push_back(double(base[i]) + (with_added ? double(float(added[i])) + added_bias[c] : 0.0));
      d.push_back(double(float(d_out[i])));
    }
    double m = 0, s = 0;
    if (kind == NormKind::layer) {
      reference::layer_norm_row(x.data(), wide_gain.data(), wide_bias.data(), int(cols),
                                &expected[r * cols], &m, &s, double(epsilon));
      reference::layer_norm_row_backward(d.data(), x.data(), m, s, wide_gain.data(), int(cols),
                                         &slopes[r * cols], columns.data(), &columns[cols]);
    } else {
      reference::rms_norm_row(x.data(), wide_gain.data(), int(cols), &expected[r * cols], &s,
                              double(epsilon));
      reference::rms_norm_row_backward(d.data(), x.data(), s, wide_gain.data(), int(cols),
                                       &slopes[r * cols], columns.data());
      for (std::int64_t c = 0; c < cols; ++c) columns[cols + c] += d[c];
    }
    for (std::int64_t c = 0; c < cols; ++c) {
      slopes[r * cols + c] += double(skip[r * cols + c]);
      columns[2 * cols + c] += slopes[r * cols + c];
    }
  }
  test::expect_near(test::to_floats(on_host(out)), expected, tolerance, tolerance);
  test::expect_near(on_host(d_x), slopes, 2e-4, 2e-4);
  test::expect_near(test::to_floats(on_host(narrow)), slopes, tolerance, tolerance);
  test::expect_near(on_host(totals), columns, 1e-3, 1e-3);
}

TEST(LayerNormCuda, MatchesTheReference) {
  for (const std::int64_t rows : {1, 17})
    for (const std::int64_t cols : {8, 24, 264, 768})
      for (const NormKind kind : {NormKind::layer, NormKind::root_mean_square})
        for (const bool with_added : {false, true}) {
          expect_norm<float>(rows, cols, kind, with_added, 2e-4);
          expect_norm<bf16>(rows, cols, kind, with_added, 1e-2);
        }
}

TEST(LayerNormCuda, RefusesRowsThatAreTooWide) {
  const DeviceBuffer<float> x(1);
  cuda::NormForward<float> norm;
  norm.base = {x.data(), 1, cuda::kNormColumns + 8};
  EXPECT_THROW(cuda::layer_norm(norm, test::stream()), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
