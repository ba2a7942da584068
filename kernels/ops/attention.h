// Bidirectional softmax attention within packed sequences, forward and backward.
//
// A row of `qkv` holds the queries, keys and values of one token: three times `width` elements, in
// each of them the heads side by side. For one sequence and one head
//
//   P = softmax(Q K^T / sqrt(head size)),  out = P V.
//
// Products may have their length rounded up to kAttentionStep rows, and then read rows behind the
// sequence, which must be there and be finite; they meet zeros in P and influence nothing. Only the
// sequence's own rows are written.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/core/dtype.h"
#include "kernels/core/scratch.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/product.h"

namespace tutti {

// Rows that must be readable and finite behind the last sequence.
inline constexpr std::int64_t kAttentionStep = 16;

struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t head_size = 0;
  std::int64_t qkv_stride = 0;  // between rows of qkv and of its gradient
  std::int64_t out_stride = 0;  // between rows of the output and of its gradient
};

// T (float or bf16) is the type of qkv, of P and of the output; softmax and sums are in f32.
template <class T>
class Attention {
 public:
  // Throws std::invalid_argument for an empty extent or strides that are too short.
  explicit Attention(const AttentionShape& shape,
                     ProductBackend backend = ProductBackend::automatic);
  ~Attention();

  // Elements of P for one head of a sequence, with its rows rounded up.
  static std::int64_t probability_size(std::int64_t length);

  // Makes plans for these sequences and scratch for every thread. Call it before the parallel loop
  // that calls forward() or backward().
  void prepare(std::span<const std::int32_t> offsets, bool with_backward);

  // One head of one sequence, on the calling thread: reads `length` rows from `qkv`, the sequence's
  // first; writes the head's columns of `length` rows of `out`. `probabilities` receives P; where
  // it is null, P is kept in scratch only.
  void forward(const T* qkv, std::int64_t length, std::int64_t head, T* probabilities, T* out);

  // The gradient of forward(): `probabilities` as it left them, d_out -> the head's columns of the
  // queries, keys and values of d_qkv.
  void backward(const T* qkv, const T* probabilities, const T* d_out, std::int64_t length,
                std::int64_t head, T* d_qkv);

 private:
  struct Plans;
  std::int64_t extent(std::int64_t length) const;
  std::unique_ptr<Plans> make_plans(std::int64_t extent, bool with_backward) const;
  std::byte* product_scratch(const Product& product);

  AttentionShape shape_;
  ProductBackend backend_;
  std::int64_t step_;                          // of which products' lengths are multiples
  std::vector<std::unique_ptr<Plans>> plans_;  // by length as multiplied
  ThreadScratch scratch_;
};

namespace reference {

// One head of one sequence in Real (float or double): q, k, v and out are [length, size].
template <class Real>
void attention(const Real* q, const Real* k, const Real* v, int length, int size, Real* out);
template <class Real>
void attention_backward(const Real* q, const Real* k, const Real* v, const Real* d_out, int length,
                        int size, Real* d_q, Real* d_k, Real* d_v);

}  // namespace reference
}  // namespace tutti
