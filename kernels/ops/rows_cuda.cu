#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vectors.h"
#include "kernels/ops/rows_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 128;

// Blocks of kThreads threads, as many for each row as it has chunks for.
LaunchShape grid_of(std::int64_t rows, std::int64_t cols) {
  return {dim3(unsigned(rows), unsigned(ceil_div(cols, kChunk * kThreads))), dim3(kThreads)};
}

__device__ std::int64_t my_column() {
  return (std::int64_t(blockIdx.y) * kThreads + threadIdx.x) * kChunk;
}

__global__ void __launch_bounds__(kThreads)
    embed_rows(const float* table, const std::int32_t* index, const float* positions,
               const std::int32_t* position, float* x, std::int64_t cols) {
  const std::int64_t row = blockIdx.x, at = my_column();
  if (at >= cols) return;
  float sum[kChunk];
  load_chunk(table + index[row] * cols + at, cols - at, sum);
  if (positions != nullptr) {
    float more[kChunk];
    load_chunk(positions + position[row] * cols + at, cols - at, more);
    for (int i = 0; i < kChunk; ++i) sum[i] += more[i];
  }
  store_chunk(x + row * cols + at, cols - at, sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    slab_sums(const T* x, std::int64_t rows, std::int64_t cols, std::int64_t stride,
              float* partials) {
  const std::int64_t slab = blockIdx.x, at = my_column();
  if (at >= cols) return;
  const std::int64_t end = min(rows, (slab + 1) * kSlabRows);
  float sums[kChunk] = {};
#pragma unroll 4
  for (std::int64_t row = slab * kSlabRows; row < end; ++row) {
    float values[kChunk];
    load_chunk(x + row * stride + at, cols - at, values);
    for (int i = 0; i < kChunk; ++i) sums[i] += values[i];
  }
  store_chunk(partials + slab * cols + at, cols - at, sums);
}

// 32 columns and 32 groups of rows a block: group g takes rows g, g + 32 and so on.
__global__ void __launch_bounds__(1024)
    partial_sums(const float* partials, std::int64_t rows, std::int64_t cols, std::int64_t stride,
                 float* total) {
  __shared__ float groups[32][33];
  const std::int64_t column = std::int64_t(blockIdx.x) * 32 + threadIdx.x;
  float sum = 0;
  if (column < cols)
#pragma unroll 8
    for (std::int64_t row = threadIdx.y; row < rows; row += 32)
      sum += partials[row * stride + column];
  groups[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= cols) return;
  sum = 0;
  for (int g = 0; g < 32; ++g) sum += groups[g][threadIdx.x];
  total[column] += sum;
}

// A group of rows a block: groups[g] is where its rows begin in `rows`.
__global__ void __launch_bounds__(kThreads)
    scatter_groups(const std::int32_t* groups, const std::int32_t* targets,
                   const std::int32_t* rows, const float* x, float* table, std::int64_t cols) {
  const std::int64_t group = blockIdx.x, at = my_column();
  if (at >= cols) return;
  float* to = table + targets[group] * cols + at;
  float sums[kChunk];
  load_chunk(to, cols - at, sums);
#pragma unroll 8
  for (std::int32_t i = groups[group]; i < groups[group + 1]; ++i) {
    float values[kChunk];
    load_chunk(x + rows[i] * cols + at, cols - at, values);
    for (int c = 0; c < kChunk; ++c) sums[c] += values[c];
  }
  store_chunk(to, cols - at, sums);
}

}  // namespace

void embed(MatrixView<const float> table, const std::int32_t* index,
           MatrixView<const float> positions, const std::int32_t* position, MatrixView<float> x,
           cudaStream_t stream) {
  launch(grid_of(x.rows, x.cols), stream, embed_rows, table.data, index, positions.data, position,
         x.data, x.cols);
}

template <class T>
void add_column_sums(MatrixView<const T> x, MatrixView<float> partials, float* total,
                     cudaStream_t stream) {
  const std::int64_t slabs = slabs_of(x.rows);
  launch(grid_of(slabs, x.cols), stream, slab_sums<T>, x.data, x.rows, x.cols, x.stride,
         partials.data);
  add_partial_sums({partials.data, slabs, x.cols}, total, stream);
}

void add_partial_sums(MatrixView<const float> partials, float* total, cudaStream_t stream) {
  launch({dim3(unsigned(ceil_div(partials.cols, 32))), dim3(32, 32)}, stream, partial_sums,
         partials.data, partials.rows, partials.cols, partials.stride, total);
}

void ScatterPlan::make(std::span<const std::int32_t> index, cudaStream_t stream) {
  const auto rows = static_cast<std::int32_t>(index.size());
  std::vector<std::int32_t> order(index.size()), groups, targets;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return index[a] < index[b]; });
  for (std::int32_t i = 0; i < rows; ++i)
    if (i == 0 || index[order[i]] != index[order[i - 1]]) {
      groups.push_back(i);
      targets.push_back(index[order[i]]);
    }
  groups_ = std::ssize(groups);
  groups.push_back(rows);
  groups.insert(groups.end(), targets.begin(), targets.end());
  groups.insert(groups.end(), order.begin(), order.end());
  plan_.put(groups, stream);
}

void ScatterPlan::add(MatrixView<const float> x, MatrixView<float> table,
                      cudaStream_t stream) const {
  const std::int32_t *groups = plan_.data(), *targets = groups + groups_ + 1;
  launch(grid_of(groups_, x.cols), stream, scatter_groups, groups, targets, targets + groups_,
         x.data, table.data, x.cols);
}

template void add_column_sums(MatrixView<const float>, MatrixView<float>, float*, cudaStream_t);
template void add_column_sums(MatrixView<const bf16>, MatrixView<float>, float*, cudaStream_t);

}  // namespace tutti::cuda
