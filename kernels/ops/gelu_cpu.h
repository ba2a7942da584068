// One row of GELU, in vector code. Private to gelu.cpp.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/ops/gelu.h"

namespace tutti::cpu {

void bias_gelu_row(GeluForm form, const float* product, const float* bias, std::int64_t cols,
                   float* pre, float* out);
void bias_gelu_row(GeluForm form, const float* product, const float* bias, std::int64_t cols,
                   bf16* pre, bf16* out);

// d_bias is added to.
void gelu_backward_row(GeluForm form, const float* d_out, const float* pre, std::int64_t cols,
                       float* d_pre, float* d_bias);
void gelu_backward_row(GeluForm form, const float* d_out, const bf16* pre, std::int64_t cols,
                       bf16* d_pre, float* d_bias);

}  // namespace tutti::cpu
