#include "kernels/ops/cross_entropy_cuda.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using test::on_device;
using test::on_host;

template <class T>
void expect_losses(std::int64_t cols, const CrossEntropyOptions& options, double tolerance) {
  SCOPED_TRACE(testing::Message() << cols << " columns, smoothing " << options.smoothing);
  const std::int64_t rows = 5, stride = (cols + 63) / 64 * 64;
  const auto logits = test::random_values<T>(1, rows * stride, 3);
  std::vector<std::int32_t> targets{0, -1, std::int32_t(cols - 1), std::int32_t(cols / 2), 0};
  const auto d_targets = on_device(targets);
  for (const bool with_gradient : {false, true}) {
    auto d_logits = on_device(logits);
    cuda::DeviceBuffer<float> losses(rows);
    cuda::cross_entropy<T>({d_logits.data(), rows, cols, stride}, d_targets.data(), options,
                           with_gradient, losses.data(), test::stream());
    std::vector<double> expected, slopes;
    for (std::int64_t r = 0; r < rows; ++r) {
      std::vector<double> row, slope(stride);
      for (std::int64_t c = 0; c < cols; ++c) row.push_back(double(float(logits[r * stride + c])));
      expected.push_back(targets[r] < 0
                             ? 0.0
                             : reference::cross_entropy_row(row.data(), int(cols), targets[r],
                                                            options, slope.data()));
      slopes.insert(slopes.end(), slope.begin(), slope.end());
    }
    test::expect_near(on_host(losses), expected, 2e-5, 1e-5);
    if (with_gradient)
      test::expect_near(test::to_floats(on_host(d_logits)), slopes, tolerance, tolerance);
    else
      EXPECT_TRUE(test::same_bytes(on_host(d_logits), logits));
  }
}

TEST(CrossEntropyCuda, MatchesTheReference) {
  for (const std::int64_t cols : {1, 7, 300, 541, 5003})
    for (const CrossEntropyOptions& options :
         {CrossEntropyOptions{}, CrossEntropyOptions{0.1f, 1e-3f}}) {
      expect_losses<float>(cols, options, 1e-5);
      expect_losses<bf16>(cols, options, 5e-3);
    }
}

}  // namespace
}  // namespace tutti
