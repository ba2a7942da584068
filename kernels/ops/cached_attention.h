// Attention of new tokens, one a sequence, to keys and values that are kept from before: what a
// language model does for each token that it generates.
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"

namespace tutti {

// One query against `count` keys and values, which stand row by row, `size` elements each:
//
//   out = sum over c of softmax(q . K[c] / sqrt(size)) V[c]
//
// On the calling thread. `scores` is scratch of `count` floats. T is float or bf16; sums are taken
// in f32, in order. count >= 1.
template <class T>
void cached_attention(const T* query, const T* keys, const T* values, std::int64_t count,
                      std::int64_t size, float* scores, T* out);

}  // namespace tutti
