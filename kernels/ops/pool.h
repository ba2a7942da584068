// Mean over the rows of a sequence, scaled to unit length.
//
// Both functions run on the calling thread.
#pragma once

#include "kernels/core/tensor.h"

namespace tutti {

// Norms below this are taken as this, so that a zero mean has a zero embedding.
inline constexpr float kPoolSmallestNorm = 1e-12f;

// mean(rows) / |mean(rows)| -> embedding (rows.cols elements). Returns the norm that it divided by.
// Throws std::invalid_argument where there are no rows.
float mean_pool(MatrixView<const float> rows, float* embedding);

// The gradient with respect to every row, from that of the embedding. `norm` is what mean_pool
// returned.
void mean_pool_backward(const float* embedding, float norm, const float* d_embedding,
                        MatrixView<float> d_rows);

namespace reference {

template <class Real>
Real mean_pool(const Real* rows, int row_count, int cols, Real* embedding);
template <class Real>
void mean_pool_backward(const Real* embedding, Real norm, const Real* d_embedding, int row_count,
                        int cols, Real* d_rows);

}  // namespace reference
}  // namespace tutti
