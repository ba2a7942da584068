// Small operations on rows in the device's memory: lookups and sums over rows in a fixed order. All
// run in the stream. T is float or bf16.
#pragma once

#include <cstdint>
#include <span>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/cuda/upload.h"

namespace tutti::cuda {

// Rows whose sum a block makes by itself. Sums over all rows are made of these, in a tree whose
// shape depends on the number of rows alone.
inline constexpr std::int64_t kSlabRows = 16;
constexpr std::int64_t slabs_of(std::int64_t rows) { return (rows + kSlabRows - 1) / kSlabRows; }

// x[r] = table[index[r]] (+ positions[position[r]], where there are any).
void embed(MatrixView<const float> table, const std::int32_t* index,
           MatrixView<const float> positions, const std::int32_t* position, MatrixView<float> x,
           cudaStream_t stream);

// total[c] += sum over rows of x[r][c]. `partials` has room for slabs_of(rows) rows.
template <class T>
void add_column_sums(MatrixView<const T> x, MatrixView<float> partials, float* total,
                     cudaStream_t stream);

// total[c] += sum over rows of partials[r][c].
void add_partial_sums(MatrixView<const float> partials, float* total, cudaStream_t stream);

// Rows by what they are added to: the host's work, once a batch.
class ScatterPlan {
 public:
  // For rows that belong to rows index[r] of a table, in any order.
  void make(std::span<const std::int32_t> index, cudaStream_t stream);

  // table[index[r]] += x[r], rows of one index in ascending order.
  void add(MatrixView<const float> x, MatrixView<float> table, cudaStream_t stream) const;

 private:
  std::int64_t groups_ = 0;
  Upload<std::int32_t> plan_;
};

}  // namespace tutti::cuda
