// A transformer text encoder: tokens in, one vector of unit length a sequence out.
//
//   embedding = mean over the sequence of the body's hidden states, scaled to unit length
//
// or the first of them instead of the mean. The body (transformer.h) has bidirectional attention,
// layer norms, learned positions and GELU; each sequence sees itself alone. Products are in
// `compute` (f32 or bf16), everything else in f32. Results are the same bytes for any number of
// threads, given the batch, the parameters, the build and the CPU's features.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/dtype.h"
#include "kernels/model/transformer.h"
#include "kernels/ops/product.h"

namespace tutti {

struct EncoderShape {
  enum class Pooling : std::uint8_t { mean, first };

  std::int64_t vocabulary = 0;
  std::int64_t width = 0;  // a multiple of heads
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t feed_forward = 0;
  std::int64_t max_tokens = 0;  // in a sequence
  // BERT's family sets these.
  TransformerShape::NormOrder norm_order = TransformerShape::NormOrder::before;
  float norm_epsilon = kLayerNormEpsilon;
  GeluForm gelu = GeluForm::tanh;
  std::int64_t token_types = 0;
  Pooling pooling = Pooling::mean;
  bool pooler = false;  // a linear layer that is kept, without decay, and takes part in nothing

  bool operator==(const EncoderShape&) const = default;
};

// The parameters of an encoder, in order. Throws std::invalid_argument for an impossible shape.
ArenaLayout encoder_layout(const EncoderShape& shape);

class Encoder {
 public:
  // Throws std::invalid_argument for an impossible shape or compute type.
  explicit Encoder(const EncoderShape& shape, DType compute = preferred_compute_dtype(),
                   ProductBackend backend = ProductBackend::automatic);
  ~Encoder();
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;

  const EncoderShape& shape() const;
  const ArenaLayout& layout() const;
  DType compute() const;

  // Fills an arena (layout().padded_size() elements): embeddings and weights normal, layer norms
  // at one and zero, biases and gaps zero. Every value is a function of (seed, parameter, element).
  void initialize(std::span<float> parameters, std::uint64_t seed) const;

  // Packs the weights of an arena. Call it after each update, before the next pass. The arena stays
  // referenced until the next call and must not change meanwhile.
  void load_parameters(std::span<const float> parameters);

  // From the next forward pass on: whether a pass keeps only the layers' inputs for its backward
  // pass, which then computes each layer's activations once more: less memory for a third more work
  // in products, and the same bytes.
  void recompute_activations(bool recompute);

  // Embeddings [batch.size(), width], row by row. Keeps no activations: memory for one layer.
  void embed(const TokenBatch& batch, std::span<float> embeddings);

  // The same bytes as embed(), and keeps what backward() needs.
  void forward(const TokenBatch& batch, std::span<float> embeddings);

  // Adds the gradient of sum(embeddings * d_embeddings) to an arena of gradients. `batch` is that
  // of the last forward(), whose activations are used up.
  void backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                std::span<float> gradients, const FinalGradients& on_final = {});

  // Products with weight matrices in one forward pass over `tokens` tokens, and in its backward
  // pass. Attention's own products, whose size depends on the lengths, are not among them.
  std::vector<ProductSize> forward_products(std::int64_t tokens) const;
  std::vector<ProductSize> backward_products(std::int64_t tokens) const;

  // Floating point operations of forward_products() and backward_products() together.
  std::int64_t product_flops(std::int64_t tokens) const;

  // All passes throw std::invalid_argument for sequences that are empty or longer than max_tokens,
  // tokens outside the vocabulary, spans of the wrong size or parameters that were never loaded.

 private:
  class Pass;
  template <class T>
  class TypedPass;
  std::unique_ptr<Pass> pass_;
};

}  // namespace tutti
