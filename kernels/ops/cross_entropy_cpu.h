// One row of a cross-entropy, in vector code. Private to cross_entropy.cpp.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

struct LogitSums {
  float top;  // the largest logit
  float sum;  // of exp(logit - top)
  float all;  // of the logits
};
LogitSums sum_logits(const float* logits, std::int64_t cols);
LogitSums sum_logits(const bf16* logits, std::int64_t cols);

// logit -> exp(logit - log_sum_exp) scale - shift, in place.
void softmax_gradient(float* logits, std::int64_t cols, float log_sum_exp, float scale,
                      float shift);
void softmax_gradient(bf16* logits, std::int64_t cols, float log_sum_exp, float scale, float shift);

}  // namespace tutti::cpu
