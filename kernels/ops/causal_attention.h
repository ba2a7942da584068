// Causal softmax attention within packed sequences, forward and backward, for long sequences.
//
// A row of `qkv` holds the queries, keys and values of one token: `heads` queries, `kv_heads` keys
// and as many values, side by side, each of `head_size` elements. Heads share keys and values in
// equal groups (grouped-query attention: Ainslie et al., 2023). For one sequence and one head
//
//   out[r] = sum over c of P[r, c] V[c],   P[r, .] = softmax of Q[r] . K[c] / sqrt(head size)
//
// over c <= r and, with a window, c > r - window. P is never kept: blocks of its rows are made in a
// core's cache, and made again in the backward pass from the logarithms of their sums, as in
// FlashAttention (Dao et al., 2022), but each row whole, so that nothing is rescaled.
//
// Products have their lengths rounded up to kAttentionStep rows (attention.h), and then read rows
// behind the sequence, which must be there and be finite; they influence nothing. Only the
// sequence's own rows are written.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "kernels/core/dtype.h"
#include "kernels/core/scratch.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/product.h"

namespace tutti {

struct CausalAttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // divides heads
  std::int64_t head_size = 0;
  std::int64_t window = 0;       // keys that a query sees, itself included; 0: all before it
  std::int64_t qkv_stride = 0;   // between rows of qkv and of its gradient
  std::int64_t out_stride = 0;   // between rows of the output and of its gradient
  std::int64_t sums_stride = 0;  // between rows of the logarithms of sums, one element a head
};

// T (float or bf16) is the type of qkv, of P and of the output; softmax and sums are in f32.
template <class T>
class CausalAttention {
 public:
  // Throws std::invalid_argument for an impossible shape.
  explicit CausalAttention(const CausalAttentionShape& shape,
                           ProductBackend backend = ProductBackend::automatic);
  ~CausalAttention();

  // Makes plans for these sequences and scratch for every thread. Call it before the parallel loop
  // that calls forward() or backward().
  void prepare(std::span<const std::int32_t> offsets, bool with_backward);

  // The heads that share one key and value, of one sequence, on the calling thread: pointers are to
  // the sequence's first row. Writes the heads' columns of `length` rows of `out` and of
  // `log_sums`.
  void forward(const T* qkv, std::int64_t length, std::int64_t kv_head, T* out, float* log_sums);

  // The gradient of forward(), whose `out` and `log_sums` it reads: d_out -> the columns of the
  // heads' queries and of their key and value in d_qkv.
  void backward(const T* qkv, const T* out, const float* log_sums, const T* d_out,
                std::int64_t length, std::int64_t kv_head, T* d_qkv);

 private:
  struct Plans;
  // A block of query rows and the keys that any of them sees.
  struct Block {
    std::int64_t first, rows;  // queries
    std::int64_t from, keys;   // keys, counted from the sequence's first row
    std::int64_t m, n;         // rows and keys as multiplied
  };
  Block block_at(std::int64_t first, std::int64_t length) const;
  // The keys of the block that query `row` of it sees, [begin, end).
  std::pair<std::int64_t, std::int64_t> seen(const Block& block, std::int64_t row) const;
  std::unique_ptr<Plans> make_plans(std::int64_t m, std::int64_t n, bool with_backward) const;
  const Plans& plans(const Block& block) const { return *plans_.at({block.m, block.n}); }
  void run(const Product& product, const void* a, const void* b, void* c);
  void forward_block(const Block& block, const T* q, const T* k, const T* v, T* out,
                     float* log_sums);
  void backward_block(const Block& block, const T* q, const T* k, const T* v, const T* out,
                      const float* log_sums, const T* d_out, T* d_q, float* d_k, float* d_v);

  CausalAttentionShape shape_;
  ProductBackend backend_;
  float scale_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::unique_ptr<Plans>> plans_;
  ThreadScratch scratch_;
};

namespace reference {

// One head of one sequence in double: q, k, v and out are [length, size]; window 0: none.
void causal_attention(const double* q, const double* k, const double* v, int length, int size,
                      int window, double* out);

}  // namespace reference
}  // namespace tutti
