#include "kernels/ops/pool.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/ops/pool_cpu.h"
#include "kernels/ops/rows.h"

namespace tutti {

float mean_pool(MatrixView<const float> rows, float* embedding) {
  if (rows.rows < 1 || rows.cols < 1) throw std::invalid_argument("mean_pool: no rows");
  column_sums(rows, embedding);
  cpu::pool_scale(embedding, rows.cols, 1.0f / static_cast<float>(rows.rows));
  const float length = std::sqrt(cpu::pool_dot(embedding, embedding, rows.cols));
  // Not std::max, which would hide a NaN.
  const float norm = length < kPoolSmallestNorm ? kPoolSmallestNorm : length;
  cpu::pool_scale(embedding, rows.cols, 1.0f / norm);
  return norm;
}

void mean_pool_backward(const float* embedding, float norm, const float* d_embedding,
                        MatrixView<float> d_rows) {
  if (d_rows.rows < 1 || d_rows.cols < 1) throw std::invalid_argument("mean_pool: no rows");
  const float along = cpu::pool_dot(embedding, d_embedding, d_rows.cols);
  const float factor = 1.0f / (norm * static_cast<float>(d_rows.rows));
  cpu::pool_project(d_embedding, embedding, d_rows.cols, along, factor, d_rows.row(0));
  for (std::int64_t r = 1; r < d_rows.rows; ++r)
    std::copy_n(d_rows.row(0), d_rows.cols, d_rows.row(r));
}

}  // namespace tutti
