#include "kernels/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/ops/cross_entropy_cpu.h"

namespace tutti {
namespace {

template <class T>
float row_loss(T* logits, std::int64_t cols, std::int64_t target, const CrossEntropyOptions& o,
               bool with_gradient) {
  const cpu::LogitSums sums = cpu::sum_logits(logits, cols);
  const float log_sum_exp = sums.top + std::log(sums.sum);
  const float spread = o.smoothing / static_cast<float>(cols);
  const float loss = log_sum_exp - (1 - o.smoothing) * float(logits[target]) - spread * sums.all +
                     o.z_weight * log_sum_exp * log_sum_exp;
  if (!with_gradient) return loss;
  // What the target has on top is taken off before the one rounding to T.
  const float scale = 1 + 2 * o.z_weight * log_sum_exp;
  const float of_target = std::exp(float(logits[target]) - log_sum_exp) * scale - spread;
  cpu::softmax_gradient(logits, cols, log_sum_exp, scale, spread);
  store(logits[target], of_target - (1 - o.smoothing));
  return loss;
}

}  // namespace

template <class T>
void cross_entropy(MatrixView<T> logits, std::span<const std::int32_t> targets,
                   const CrossEntropyOptions& options, bool with_gradient,
                   std::span<float> losses) {
  if (static_cast<std::int64_t>(targets.size()) != logits.rows || losses.size() != targets.size() ||
      logits.cols < 1)
    throw std::invalid_argument("cross-entropy: shapes differ");
  for (std::int64_t r = 0; r < logits.rows; ++r) {
    if (targets[r] >= logits.cols)
      throw std::invalid_argument("cross-entropy: a target past the columns");
    if (targets[r] >= 0) {
      losses[r] = row_loss(logits.row(r), logits.cols, targets[r], options, with_gradient);
      continue;
    }
    losses[r] = 0;
    if (with_gradient) std::fill_n(logits.row(r), logits.cols, T(0.0f));
  }
}

template void cross_entropy(MatrixView<float>, std::span<const std::int32_t>,
                            const CrossEntropyOptions&, bool, std::span<float>);
template void cross_entropy(MatrixView<bf16>, std::span<const std::int32_t>,
                            const CrossEntropyOptions&, bool, std::span<float>);

}  // namespace tutti
