// One row of softmax, in vector code. Private to softmax.cpp.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

// The scores are overwritten. Columns from `valid` to `cols` of the output are set to zero.
void softmax_row(float* scores, std::int64_t valid, std::int64_t cols, float scale, float* out);
void softmax_row(float* scores, std::int64_t valid, std::int64_t cols, float scale, bf16* out);
void softmax_row_backward(const float* p, const float* d_p, std::int64_t valid, std::int64_t cols,
                          float scale, float* d_scores);
void softmax_row_backward(const bf16* p, const float* d_p, std::int64_t valid, std::int64_t cols,
                          float scale, bf16* d_scores);

}  // namespace tutti::cpu
