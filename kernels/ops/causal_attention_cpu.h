// One row of attention's gradient, in vector code. Private to attention.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

// The gradient for one row, from the scores, their log_sum and the gradient of the probabilities:
// p = exp(scale score - log_sum), d_score = scale p (d_p - delta). `p` may be `scores`, and
// `d_scores` may be `d_p`.
void attend_row_backward(const float* scores, const float* d_p, std::int64_t count, float scale,
                         float log_sum, float delta, float* p, float* d_scores);
void attend_row_backward(const float* scores, const float* d_p, std::int64_t count, float scale,
                         float log_sum, float delta, bf16* p, bf16* d_scores);

float dot_row(const float* a, const float* b, std::int64_t count);
float dot_row(const bf16* a, const bf16* b, std::int64_t count);

}  // namespace tutti::cpu
