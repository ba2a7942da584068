// One row of softmax, in vector code. Private to softmax and to attention.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

// softmax(scale scores) over the first `valid` columns; those from `valid` to `cols` are set to
// zero. The scores are overwritten; `out` may be `scores`. Returns log(sum of exp(scale scores)).
float softmax_row(float* scores, std::int64_t valid, std::int64_t cols, float scale, float* out);
float softmax_row(float* scores, std::int64_t valid, std::int64_t cols, float scale, bf16* out);
void softmax_row_backward(const float* p, const float* d_p, std::int64_t valid, std::int64_t cols,
                          float scale, float* d_scores);
void softmax_row_backward(const bf16* p, const float* d_p, std::int64_t valid, std::int64_t cols,
                          float scale, bf16* d_scores);

}  // namespace tutti::cpu
