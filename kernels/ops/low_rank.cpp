#include "kernels/ops/low_rank.h"

#include <algorithm>

namespace tutti {
namespace {

template <class T>
Linear down_linear(const LowRankShape& s, std::int64_t wide_stride, ProductBackend backend) {
  return Linear({.rows = s.rows,
                 .outputs = s.rank,
                 .inputs = s.inputs,
                 .cut_outputs = false,
                 .in = dtype_of<T>,
                 .x_stride = s.x_stride,
                 .y_stride = wide_stride,
                 .dy_stride = s.low_stride,
                 .dx_stride = s.dx_stride,
                 .dx_adds = true},
                backend);
}

template <class T>
Linear up_linear(const LowRankShape& s, std::int64_t wide_stride, ProductBackend backend) {
  return Linear({.rows = s.rows,
                 .outputs = s.outputs,
                 .inputs = s.rank,
                 .in = dtype_of<T>,
                 .x_stride = s.low_stride,
                 .y_stride = s.y_stride,
                 .dy_stride = s.dy_stride,
                 .dx_stride = wide_stride,
                 .y_adds = true},
                backend);
}

}  // namespace

template <class T>
LowRank<T>::LowRank(const LowRankShape& shape, ProductBackend backend)
    : shape_(shape),
      wide_stride_((shape.rank + 15) / 16 * 16),
      wide_bytes_(shape.rows * wide_stride_ * static_cast<std::int64_t>(sizeof(float))),
      down_(down_linear<T>(shape, wide_stride_, backend)),
      up_(up_linear<T>(shape, wide_stride_, backend)) {}

template <class T>
void LowRank<T>::load(const float* a, const float* b) {
  for (std::int64_t task = 0; task < down_.pack_tasks(); ++task) down_.pack(task, a);
  for (std::int64_t task = 0; task < up_.pack_tasks(); ++task) up_.pack(task, b);
}

template <class T>
std::int64_t LowRank<T>::scratch_bytes() const {
  return wide_bytes_ + std::max(down_.scratch_bytes(), up_.scratch_bytes());
}

template <class T>
void LowRank<T>::round(const float* wide, MatrixView<T> to) const {
  for (std::int64_t r = 0; r < shape_.rows; ++r)
    for (std::int64_t c = 0; c < shape_.rank; ++c)
      store(to(r, c), shape_.scale * wide[r * wide_stride_ + c]);
}

template <class T>
void LowRank<T>::low(const T* x, MatrixView<T> low, std::byte* scratch) const {
  auto* wide = reinterpret_cast<float*>(scratch);
  down_.forward(x, wide, product_scratch(scratch));
  round(wide, low);
}

template <class T>
void LowRank<T>::add(const T* low, float* y, std::byte* scratch) const {
  up_.forward(low, y, product_scratch(scratch));
}

template <class T>
void LowRank<T>::add_block(std::int64_t block, const T* low, float* y, std::byte* scratch) const {
  up_.forward_block_at(block, low, y, product_scratch(scratch));
}

template <class T>
void LowRank<T>::d_low(const T* dy, MatrixView<T> d_low, std::byte* scratch) const {
  auto* wide = reinterpret_cast<float*>(scratch);
  up_.backward(dy, wide, product_scratch(scratch));
  round(wide, d_low);
}

template <class T>
void LowRank<T>::add_dx(const T* d_low, float* dx, std::byte* scratch) const {
  down_.backward(d_low, dx, product_scratch(scratch));
}

template <class T>
void LowRank<T>::add_dx_block(std::int64_t block, const T* d_low, float* dx,
                              std::byte* scratch) const {
  down_.backward_block_at(block, d_low, dx, product_scratch(scratch));
}

template class LowRank<float>;
template class LowRank<bf16>;

}  // namespace tutti
