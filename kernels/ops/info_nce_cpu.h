// Rows of InfoNCE, in vector code. Private to info_nce.cpp.
#pragma once

#include <cstdint>

namespace tutti::cpu {

// log sum exp(scale scores[i]).
float log_sum_exp(const float* scores, std::int64_t size, float scale);

// factor exp(scale scores[i] - shift) -> scores[i].
void exp_row(float* scores, std::int64_t size, float scale, float shift, float factor);

// factor exp(scale scores[i] - shifts[i]) -> scores[i].
void exp_row(float* scores, std::int64_t size, float scale, const float* shifts, float factor);

}  // namespace tutti::cpu
