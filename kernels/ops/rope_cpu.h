// The rotation of one head, in vector code. Private to rope.cpp.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

// (a, b) -> (a cos - s b sin, b cos + s a sin) for `count` pairs, in place; s is 1 or -1.
void rotate_pairs(float* a, float* b, const float* cos, const float* sin, float s,
                  std::int64_t count);
void rotate_pairs(bf16* a, bf16* b, const float* cos, const float* sin, float s,
                  std::int64_t count);

}  // namespace tutti::cpu
