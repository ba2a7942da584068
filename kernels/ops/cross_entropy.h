// Cross-entropy of a softmax over the columns of each row, and its gradient in the place of the
// logits, so that probabilities are never stored:
//
//   loss = log_sum_exp - (1 - smoothing) logit[target] - smoothing mean(logits)
//          + z_weight log_sum_exp^2                                  (z-loss: Chowdhery et al.,
//          2022)
//
// Functions run on the calling thread; every row depends on itself alone. T is float or bf16.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

namespace tutti {

struct CrossEntropyOptions {
  float smoothing = 0;  // label smoothing
  float z_weight = 0;
};

// Rows whose target is negative have neither loss nor gradient. losses[r] is the row's; where
// `with_gradient`, the gradient of the row's loss replaces its logits. Throws std::invalid_argument
// for spans of another length than `logits` has rows, and for a target past the columns.
template <class T>
void cross_entropy(MatrixView<T> logits, std::span<const std::int32_t> targets,
                   const CrossEntropyOptions& options, bool with_gradient, std::span<float> losses);

namespace reference {

// One row in double; d_logits may be null.
double cross_entropy_row(const double* logits, int cols, int target,
                         const CrossEntropyOptions& options, double* d_logits);

}  // namespace reference
}  // namespace tutti
