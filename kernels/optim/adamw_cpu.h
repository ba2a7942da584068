// A run of elements of one AdamW update, in vector code. Private to adamw.cpp.
#pragma once

#include <cstdint>

namespace tutti::cpu {

struct AdamWFactors {
  float beta1;
  float beta2;
  float epsilon;
  float step_size;  // learning rate / (1 - beta1^step)
  float inverse_v;  // 1 / (1 - beta2^step)
  float decay;      // learning rate * weight decay
  float gradient_scale;
};

void adamw_run(const AdamWFactors& factors, std::int64_t size, const float* gradients,
               float* parameters, float* first_moment, float* second_moment);

}  // namespace tutti::cpu
