// Parts of mean pooling, in vector code. Private to pool.cpp.
#pragma once

#include <cstdint>

namespace tutti::cpu {

// sum of a[i] b[i].
float pool_dot(const float* a, const float* b, std::int64_t size);

// x *= factor.
void pool_scale(float* x, std::int64_t size, float factor);

// (d - embedding along) factor -> out.
void pool_project(const float* d, const float* embedding, std::int64_t size, float along,
                  float factor, float* out);

}  // namespace tutti::cpu
