// Single rows, in vector code. Private to the operations.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

// a + b -> out; b may be null for zero; out may be a.
void add_rows(const float* a, const float* b, std::int64_t cols, float* out);
void add_rows(const float* a, const float* b, std::int64_t cols, bf16* out);

// sum += x.
void accumulate_row(const float* x, std::int64_t cols, float* sum);
void accumulate_row(const bf16* x, std::int64_t cols, float* sum);

}  // namespace tutti::cpu
