// One row of a layer norm, in vector code. Private to layer_norm.cpp.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti::cpu {

// base + added + added_bias -> sum (added may be null, then nothing but base is read and sum is not
// written), and its normalisation -> out.
// A row without `centred` is taken to have the mean zero, and no bias.
struct NormRow {
  const float* base;
  const float* added;
  const float* added_bias;  // may be null
  float* sum;
  const float* gain;
  const float* bias;
  std::int64_t cols;
  float* mean;
  float* rstd;
  float epsilon;
  bool centred;
};
void layer_norm_row(const NormRow& row, float* out);
void layer_norm_row(const NormRow& row, bf16* out);

struct NormRowGradient {
  const float* d_out;
  const float* x;
  float mean;
  float rstd;
  const float* gain;
  const float* d_skip;  // may be null
  std::int64_t cols;
  float* d_x;
  bf16* d_x_narrow;  // may be null
  float* d_gain;     // added to
  float* d_bias;     // added to
  bool centred;
};
void layer_norm_row_backward(const NormRowGradient& row);

}  // namespace tutti::cpu
