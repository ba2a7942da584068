#include <algorithm>
#include <cmath>

#include "kernels/ops/pool.h"

namespace tutti::reference {

template <class Real>
Real mean_pool(const Real* rows, int row_count, int cols, Real* embedding) {
  Real squares = 0;
  for (int c = 0; c < cols; ++c) {
    Real sum = 0;
    for (int r = 0; r < row_count; ++r) sum += rows[r * cols + c];
    embedding[c] = sum / row_count;
    squares += embedding[c] * embedding[c];
  }
  const Real norm = std::max(std::sqrt(squares), Real(kPoolSmallestNorm));
  for (int c = 0; c < cols; ++c) embedding[c] /= norm;
  return norm;
}

template <class Real>
void mean_pool_backward(const Real* embedding, Real norm, const Real* d_embedding, int row_count,
                        int cols, Real* d_rows) {
  Real along = 0;
  for (int c = 0; c < cols; ++c) along += embedding[c] * d_embedding[c];
  for (int r = 0; r < row_count; ++r)
    for (int c = 0; c < cols; ++c)
      d_rows[r * cols + c] = (d_embedding[c] - embedding[c] * along) / norm / row_count;
}

template float mean_pool(const float*, int, int, float*);
template double mean_pool(const double*, int, int, double*);
template void mean_pool_backward(const float*, float, const float*, int, int, float*);
template void mean_pool_backward(const double*, double, const double*, int, int, double*);

}  // namespace tutti::reference
