// What encoders and decoders share: the shape of a transformer's body, and the batches it takes.
//
//   x = token embedding (+ position embedding)
//   x = x + attention(norm(x)) W_out;  x = x + feed_forward(norm(x))       (each layer)
//   hidden = norm(x)
//
// Normalisation comes before each part (Xiong et al., 2020). Where it comes after the sum instead,
// as in the original and in BERT, the same norms stand between the same parts, and what goes around
// a part begins behind the norm:
//
//   x = norm(token embedding + position embedding (+ embedding of token type 0))
//   x = norm(x + attention(x) W_out);  x = norm(x + feed_forward(x))       (each layer)
//   hidden = x
//
// Positions are learned vectors, or turn queries and keys (rotary embedding).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "kernels/ops/gelu.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/rope.h"

namespace tutti {

struct TransformerShape {
  enum class Attention : std::uint8_t { bidirectional, causal };
  enum class NormOrder : std::uint8_t { before, after };
  enum class FeedForward : std::uint8_t {
    gelu,   // gelu(h W1^T + b1) W2^T + b2
    swiglu  // (silu(h W_gate^T) * (h W_up^T)) W2^T, without biases
  };

  std::int64_t vocabulary = 0;
  std::int64_t width = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // keys and values; divides heads
  std::int64_t head_size = 0;
  std::int64_t feed_forward = 0;
  std::int64_t max_tokens = 0;  // in a sequence
  std::int64_t window = 0;      // of causal attention: keys that a query sees; 0: all before it
  Attention attention = Attention::causal;
  FeedForward feed_forward_kind = FeedForward::gelu;
  GeluForm gelu = GeluForm::tanh;
  NormKind norm = NormKind::layer;
  NormOrder norm_order = NormOrder::before;
  float norm_epsilon = kLayerNormEpsilon;
  bool learned_positions = true;  // else rotary ones
  std::int64_t token_types = 0;   // rows of their table, of which the first counts; 0: no table
  RopeShape rope;
  bool qkv_bias = true;
  bool linear_bias = true;  // of the attention's output and, with GELU, of the feed-forward part

  std::int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_size; }
  std::int64_t context_width() const { return heads * head_size; }

  bool operator==(const TransformerShape&) const = default;
};

// Sequences one behind the other: sequence s is tokens[offsets[s]] ... tokens[offsets[s + 1] - 1].
// offsets[0] is 0, the last offset is tokens.size(). Sequences do not see each other.
struct TokenBatch {
  std::span<const std::int32_t> tokens;
  std::span<const std::int32_t> offsets;

  std::int64_t size() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
};

// Told, as a backward pass goes on, that the gradients' elements from `begin` on are final: `begin`
// falls, and ends at 0. Called on the thread that runs the pass.
using FinalGradients = std::function<void(std::int64_t begin)>;

// `count` matrix products Y[m, n] = X[m, k] W, of one kind.
struct ProductSize {
  enum class Kind : std::uint8_t { forward, backward_data, backward_weights };
  Kind kind;
  std::int64_t m, n, k, count;

  std::int64_t flops() const { return 2 * m * n * k * count; }
};

// Throws std::invalid_argument for sequences that are empty or longer than max_tokens, and for
// tokens outside the vocabulary.
void check_batch(const TransformerShape& shape, const TokenBatch& batch);

}  // namespace tutti
