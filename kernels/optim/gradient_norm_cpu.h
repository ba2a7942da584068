// The sum of squares of one block, in vector code. Private to gradient_norm.cpp.
#pragma once

#include <cstdint>

namespace tutti::cpu {

double square_sum(const float* x, std::int64_t size);

}  // namespace tutti::cpu
