#include "kernels/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/ops/attention_rows.h"
#include "kernels/ops/softmax.h"

namespace tutti {
namespace {

enum Slot { kProducts, kScores, kNarrow, kRows, kSlots };

}  // namespace

template <class T>
struct Attention<T>::Plans {
  std::unique_ptr<Product> scores;           // Q K^T
  std::unique_ptr<Product> context;          // P V
  std::unique_ptr<Product> d_probabilities;  // d_out V^T
  std::unique_ptr<Product> d_queries;        // d_scores K
  std::unique_ptr<Product> d_keys;           // d_scores^T Q
  std::unique_ptr<Product> d_values;         // P^T d_out
};

template <class T>
Attention<T>::Attention(const AttentionShape& shape, ProductBackend backend)
    : shape_(shape), backend_(backend), step_(kAttentionStep), scratch_(kSlots) {
  const std::int64_t width = shape.heads * shape.head_size;
  if (shape.heads < 1 || shape.head_size < 1 || shape.qkv_stride < 3 * width ||
      shape.out_stride < width)
    throw std::invalid_argument("attention: the shape is inconsistent");
  // Our own kernel takes any length; libraries make a new plan for each, so they get few.
  if (backend == ProductBackend::automatic &&
      avx512::supports({.in = dtype_of<T>, .out = dtype_of<T>}))
    step_ = 1;
}

template <class T>
Attention<T>::~Attention() = default;

template <class T>
std::int64_t Attention<T>::probability_size(std::int64_t length) {
  return rounded_rows(length) * rounded_rows(length);
}

template <class T>
std::int64_t Attention<T>::extent(std::int64_t length) const {
  return step_ == 1 ? length : rounded_rows(length);
}

template <class T>
std::unique_ptr<typename Attention<T>::Plans> Attention<T>::make_plans(std::int64_t n,
                                                                       bool with_backward) const {
  const std::int64_t size = shape_.head_size;
  const OperandStride square{0, rounded_rows(n), 1}, qkv{0, shape_.qkv_stride, 1},
      out{0, shape_.out_stride, 1};
  const OperandStride rows{0, size, 1};
  const DType type = dtype_of<T>;
  const auto make = [&](std::int64_t cols, std::int64_t inner, OperandStride a, OperandStride b,
                        OperandStride c, DType result) {
    return make_product({1, n, cols, inner, a, b, c, type, result, false}, backend_);
  };
  auto plans = std::make_unique<Plans>();
  plans->scores = make(n, size, qkv, transposed(qkv), square, DType::f32);
  plans->context = make(size, n, square, qkv, rows, type);
  if (!with_backward) return plans;
  plans->d_probabilities = make(n, size, out, transposed(qkv), square, DType::f32);
  plans->d_queries = make(size, n, square, qkv, rows, type);
  plans->d_keys = make(size, n, transposed(square), qkv, rows, type);
  plans->d_values = make(size, n, transposed(square), out, rows, type);
  return plans;
}

template <class T>
void Attention<T>::prepare(std::span<const std::int32_t> offsets, bool with_backward) {
  scratch_.prepare();
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    const std::int64_t length = offsets[s + 1] - offsets[s];
    if (length < 1) throw std::invalid_argument("attention: a sequence is empty");
    const auto index = static_cast<std::size_t>(extent(length));
    if (plans_.size() <= index) plans_.resize(index + 1);
    if (!plans_[index] || (with_backward && !plans_[index]->d_values))
      plans_[index] = make_plans(extent(length), with_backward);
  }
}

template <class T>
std::byte* Attention<T>::product_scratch(const Product& product) {
  return scratch_.get<std::byte>(kProducts, product.scratch_bytes());
}

template <class T>
void Attention<T>::forward(const T* qkv, std::int64_t length, std::int64_t head, T* probabilities,
                           T* out) {
  const Plans& plan = *plans_[extent(length)];
  const std::int64_t n = rounded_rows(length), size = shape_.head_size, width = shape_.heads * size;
  const T* q = qkv + head * size;
  if (probabilities == nullptr) probabilities = scratch_.template get<T>(kNarrow, n * n);
  float* scores;
  if constexpr (std::is_same_v<T, float>)
    scores = probabilities;
  else
    scores = scratch_.template get<float>(kScores, n * n);
  plan.scores->run(q, q + width, scores, product_scratch(*plan.scores));
  masked_softmax<T>({scores, n, n}, length, 1.0f / std::sqrt(static_cast<float>(size)),
                    {probabilities, n, n});
  T* rows = scratch_.template get<T>(kRows, n * size);
  plan.context->run(probabilities, q + 2 * width, rows, product_scratch(*plan.context));
  copy_rows(rows, length, size, out + head * size, shape_.out_stride);
}

template <class T>
void Attention<T>::backward(const T* qkv, const T* probabilities, const T* d_out,
                            std::int64_t length, std::int64_t head, T* d_qkv) {
  const Plans& plan = *plans_[extent(length)];
  const std::int64_t n = rounded_rows(length), size = shape_.head_size, width = shape_.heads * size;
  const T* q = qkv + head * size;
  const T* d_o = d_out + head * size;
  T* d_q = d_qkv + head * size;
  float* d_p = scratch_.template get<float>(kScores, n * n);
  plan.d_probabilities->run(d_o, q + 2 * width, d_p, product_scratch(*plan.d_probabilities));
  T* d_scores;
  if constexpr (std::is_same_v<T, float>)
    d_scores = d_p;
  else
    d_scores = scratch_.template get<T>(kNarrow, n * n);
  masked_softmax_backward<T>({probabilities, n, n}, {d_p, n, n}, length,
                             1.0f / std::sqrt(static_cast<float>(size)), {d_scores, n, n});
  T* rows = scratch_.template get<T>(kRows, n * size);
  const auto store = [&](const Product& product, const T* a, const T* b, T* to) {
    product.run(a, b, rows, product_scratch(product));
    copy_rows(rows, length, size, to, shape_.qkv_stride);
  };
  store(*plan.d_queries, d_scores, q + width, d_q);
  store(*plan.d_keys, d_scores, q, d_q + width);
  store(*plan.d_values, probabilities, d_o, d_q + 2 * width);
}

template class Attention<float>;
template class Attention<bf16>;

}  // namespace tutti
