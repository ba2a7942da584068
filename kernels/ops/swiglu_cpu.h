// One row of a gated linear unit, in vector code. Private to swiglu.cpp.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

void swiglu_row(const float* gate_product, const float* up_product, std::int64_t cols, float* gate,
                float* up, float* out);
void swiglu_row(const float* gate_product, const float* up_product, std::int64_t cols, bf16* gate,
                bf16* up, bf16* out);
void swiglu_row_backward(const float* d_out, const float* gate, const float* up, std::int64_t cols,
                         float* d_gate, float* d_up);
void swiglu_row_backward(const float* d_out, const bf16* gate, const bf16* up, std::int64_t cols,
                         bf16* d_gate, bf16* d_up);

}  // namespace tutti::cpu
