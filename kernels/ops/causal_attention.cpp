#include "kernels/ops/causal_attention.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <type_traits>

#include "kernels/ops/attention_rows.h"
#include "kernels/ops/causal_attention_cpu.h"
#include "kernels/ops/rows.h"
#include "kernels/ops/softmax_cpu.h"

namespace tutti {
namespace {

// Rows of P that are made at a time: with 1024 keys, they and their gradient fit a second-level
// cache.
constexpr std::int64_t kBlockRows = 64;

enum Slot {
  kProduct,
  kScores,
  kScoreGradients,
  kNarrow,
  kNarrowGradients,
  kRows,
  kKeys,
  kValues,
  kSlots
};

// Zeros in a row of `cols` elements outside [begin, end).
template <class T>
void zero_outside(T* row, std::int64_t begin, std::int64_t end, std::int64_t cols) {
  std::fill(row, row + begin, T(0.0f));
  std::fill(row + end, row + cols, T(0.0f));
}

}  // namespace

template <class T>
struct CausalAttention<T>::Plans {
  std::unique_ptr<Product> scores;           // Q K^T
  std::unique_ptr<Product> context;          // P V
  std::unique_ptr<Product> d_probabilities;  // d_out V^T
  std::unique_ptr<Product> d_queries;        // d_scores K
  std::unique_ptr<Product> d_keys;           // += d_scores^T Q
  std::unique_ptr<Product> d_values;         // += P^T d_out
};

template <class T>
CausalAttention<T>::CausalAttention(const CausalAttentionShape& shape, ProductBackend backend)
    : shape_(shape),
      backend_(backend),
      scale_(1.0f / std::sqrt(static_cast<float>(shape.head_size))),
      scratch_(kSlots) {
  if (shape.heads < 1 || shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0 ||
      shape.head_size < 1 || shape.window < 0 || shape.sums_stride < shape.heads ||
      shape.qkv_stride < (shape.heads + 2 * shape.kv_heads) * shape.head_size ||
      shape.out_stride < shape.heads * shape.head_size)
    throw std::invalid_argument("causal attention: the shape is inconsistent");
}

template <class T>
CausalAttention<T>::~CausalAttention() = default;

template <class T>
typename CausalAttention<T>::Block CausalAttention<T>::block_at(std::int64_t first,
                                                                std::int64_t length) const {
  const std::int64_t rows = std::min(kBlockRows, length - first);
  // Whole blocks of keys, so that few different products are needed.
  const std::int64_t from =
      shape_.window > 0
          ? std::max<std::int64_t>(0, first - shape_.window + 1) / kBlockRows * kBlockRows
          : 0;
  const std::int64_t keys = first + rows - from;
  return {first, rows, from, keys, rounded_rows(rows), rounded_rows(keys)};
}

template <class T>
std::pair<std::int64_t, std::int64_t> CausalAttention<T>::seen(const Block& block,
                                                               std::int64_t row) const {
  const std::int64_t query = block.first + row;
  const std::int64_t begin =
      shape_.window > 0 ? std::max(block.from, query - shape_.window + 1) : block.from;
  return {begin - block.from, query + 1 - block.from};
}

template <class T>
std::unique_ptr<typename CausalAttention<T>::Plans> CausalAttention<T>::make_plans(
    std::int64_t m, std::int64_t n, bool with_backward) const {
  const std::int64_t size = shape_.head_size;
  const OperandStride square{0, n, 1}, qkv{0, shape_.qkv_stride, 1}, out{0, shape_.out_stride, 1},
      rows{0, size, 1};
  const DType type = dtype_of<T>;
  auto plans = std::make_unique<Plans>();
  plans->scores = make_product(
      {1, m, n, size, qkv, transposed(qkv), square, type, DType::f32, false}, backend_);
  plans->context = make_product({1, m, size, n, square, qkv, rows, type, type, false}, backend_);
  if (!with_backward) return plans;
  plans->d_probabilities = make_product(
      {1, m, n, size, out, transposed(qkv), square, type, DType::f32, false}, backend_);
  plans->d_queries = make_product({1, m, size, n, square, qkv, rows, type, type, false}, backend_);
  plans->d_keys = make_product(
      {1, n, size, m, transposed(square), qkv, rows, type, DType::f32, true}, backend_);
  plans->d_values = make_product(
      {1, n, size, m, transposed(square), out, rows, type, DType::f32, true}, backend_);
  return plans;
}

template <class T>
void CausalAttention<T>::prepare(std::span<const std::int32_t> offsets, bool with_backward) {
  scratch_.prepare();
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const std::int64_t length = offsets[s + 1] - offsets[s];
    if (length < 1) throw std::invalid_argument("causal attention: a sequence is empty");
    for (std::int64_t first = 0; first < length; first += kBlockRows) {
      const Block block = block_at(first, length);
      std::unique_ptr<Plans>& plan = plans_[{block.m, block.n}];
      if (!plan || (with_backward && !plan->d_values))
        plan = make_plans(block.m, block.n, with_backward);
    }
  }
}

template <class T>
void CausalAttention<T>::run(const Product& product, const void* a, const void* b, void* c) {
  product.run(a, b, c, scratch_.get<std::byte>(kProduct, product.scratch_bytes()));
}

template <class T>
void CausalAttention<T>::forward_block(const Block& block, const T* q, const T* k, const T* v,
                                       T* out, float* log_sums) {
  const Plans& plan = plans(block);
  float* scores = scratch_.template get<float>(kScores, block.m * block.n);
  run(*plan.scores, q + block.first * shape_.qkv_stride, k + block.from * shape_.qkv_stride,
      scores);
  T* p;
  if constexpr (std::is_same_v<T, float>)
    p = scores;
  else
    p = scratch_.template get<T>(kNarrow, block.m * block.n);
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const auto [begin, end] = seen(block, r);
    log_sums[(block.first + r) * shape_.sums_stride] = cpu::softmax_row(
        scores + r * block.n + begin, end - begin, end - begin, scale_, p + r * block.n + begin);
    zero_outside(p + r * block.n, begin, end, block.n);
  }
  std::fill(p + block.rows * block.n, p + block.m * block.n, T(0.0f));
  T* rows = scratch_.template get<T>(kRows, block.m * shape_.head_size);
  run(*plan.context, p, v + block.from * shape_.qkv_stride, rows);
  copy_rows(rows, block.rows, shape_.head_size, out + block.first * shape_.out_stride,
            shape_.out_stride);
}

template <class T>
void CausalAttention<T>::forward(const T* qkv, std::int64_t length, std::int64_t kv_head, T* out,
                                 float* log_sums) {
  const std::int64_t size = shape_.head_size, group = shape_.heads / shape_.kv_heads;
  const T* k = qkv + (shape_.heads + kv_head) * size;
  const T* v = k + shape_.kv_heads * size;
  for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head)
    for (std::int64_t first = 0; first < length; first += kBlockRows)
      forward_block(block_at(first, length), qkv + head * size, k, v, out + head * size,
                    log_sums + head);
}

template <class T>
void CausalAttention<T>::backward_block(const Block& block, const T* q, const T* k, const T* v,
                                        const T* out, const float* log_sums, const T* d_out, T* d_q,
                                        float* d_k, float* d_v) {
  const Plans& plan = plans(block);
  const std::int64_t qkv_row = block.first * shape_.qkv_stride,
                     out_row = block.first * shape_.out_stride,
                     keys = block.from * shape_.qkv_stride, size = block.m * block.n;
  float* scores = scratch_.template get<float>(kScores, size);
  float* d_p = scratch_.template get<float>(kScoreGradients, size);
  run(*plan.scores, q + qkv_row, k + keys, scores);
  run(*plan.d_probabilities, d_out + out_row, v + keys, d_p);
  T *p, *d_scores;
  if constexpr (std::is_same_v<T, float>) {
    p = scores;
    d_scores = d_p;
  } else {
    p = scratch_.template get<T>(kNarrow, size);
    d_scores = scratch_.template get<T>(kNarrowGradients, size);
  }
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const auto [begin, end] = seen(block, r);
    const std::int64_t row = r * block.n, at = out_row + r * shape_.out_stride;
    const float delta = cpu::dot_row(out + at, d_out + at, shape_.head_size);
    cpu::attend_row_backward(scores + row + begin, d_p + row + begin, end - begin, scale_,
                             log_sums[(block.first + r) * shape_.sums_stride], delta,
                             p + row + begin, d_scores + row + begin);
    zero_outside(p + row, begin, end, block.n);
    zero_outside(d_scores + row, begin, end, block.n);
  }
  std::fill(p + block.rows * block.n, p + size, T(0.0f));
  std::fill(d_scores + block.rows * block.n, d_scores + size, T(0.0f));
  T* rows = scratch_.template get<T>(kRows, block.m * shape_.head_size);
  run(*plan.d_queries, d_scores, k + keys, rows);
  copy_rows(rows, block.rows, shape_.head_size, d_q + qkv_row, shape_.qkv_stride);
  run(*plan.d_keys, d_scores, q + qkv_row, d_k + block.from * shape_.head_size);
  run(*plan.d_values, p, d_out + out_row, d_v + block.from * shape_.head_size);
}

template <class T>
void CausalAttention<T>::backward(const T* qkv, const T* out, const float* log_sums, const T* d_out,
                                  std::int64_t length, std::int64_t kv_head, T* d_qkv) {
  const std::int64_t size = shape_.head_size, group = shape_.heads / shape_.kv_heads,
                     keys = shape_.heads + kv_head, values = keys + shape_.kv_heads;
  // The last block's keys are rounded up, and so reach behind the sequence.
  const std::int64_t elements = rounded_rows(length) * size;
  float* d_k = scratch_.template get<float>(kKeys, elements);
  float* d_v = scratch_.template get<float>(kValues, elements);
  std::fill_n(d_k, elements, 0.0f);
  std::fill_n(d_v, elements, 0.0f);
  for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head)
    for (std::int64_t first = 0; first < length; first += kBlockRows)
      backward_block(block_at(first, length), qkv + head * size, qkv + keys * size,
                     qkv + values * size, out + head * size, log_sums + head, d_out + head * size,
                     d_qkv + head * size, d_k, d_v);
  const std::int64_t stride = shape_.qkv_stride;
  add_bias<T>({d_k, length, size}, nullptr, {d_qkv + keys * size, length, size, stride});
  add_bias<T>({d_v, length, size}, nullptr, {d_qkv + values * size, length, size, stride});
}

template class CausalAttention<float>;
template class CausalAttention<bf16>;

}  // namespace tutti
