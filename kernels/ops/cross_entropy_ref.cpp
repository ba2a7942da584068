#include <algorithm>
#include <cmath>

#include "kernels/ops/cross_entropy.h"

namespace tutti::reference {

double cross_entropy_row(const double* logits, int cols, int target,
                         const CrossEntropyOptions& options, double* d_logits) {
  const double smoothing = double(options.smoothing), z_weight = double(options.z_weight);
  const double top = *std::max_element(logits, logits + cols);
  double sum = 0, all = 0;
  for (int c = 0; c < cols; ++c) {
    sum += std::exp(logits[c] - top);
    all += logits[c];
  }
  const double log_sum_exp = top + std::log(sum);
  if (d_logits != nullptr)
    for (int c = 0; c < cols; ++c)
      d_logits[c] = std::exp(logits[c] - log_sum_exp) * (1 + 2 * z_weight * log_sum_exp) -
                    (c == target ? 1 - smoothing : 0.0) - smoothing / cols;
  return log_sum_exp - (1 - smoothing) * logits[target] - smoothing * all / cols +
         z_weight * log_sum_exp * log_sum_exp;
}

}  // namespace tutti::reference
