// A decoder language model: a transformer's body (transformer.h) with causal attention, and a head
// that gives each token the logits of the next.
//
//   logits = hidden W_head^T,   W_head: the token embedding (a tied head), or a matrix of its own
//
// The families of GPT-2 (Radford et al., 2019) and Llama (Touvron et al., 2023) are shapes of it.
// Products are in `compute` (f32 or bf16), everything else in f32; with bf16, logits are rounded to
// bf16 before the softmax. Results are the same bytes for any number of threads, given the batch,
// the parameters, the build and the CPU's features.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/dtype.h"
#include "kernels/model/adapters.h"
#include "kernels/model/device_decoder.h"
#include "kernels/model/transformer.h"
#include "kernels/ops/cross_entropy.h"
#include "kernels/ops/dropout.h"
#include "kernels/ops/product.h"

namespace tutti {

struct DecoderShape {
  TransformerShape body;
  bool tied_head = true;

  bool operator==(const DecoderShape&) const = default;
};

// GPT-2's kind: learned positions, layer norms, GELU, a tied head.
DecoderShape gpt2_shape(std::int64_t vocabulary, std::int64_t width, std::int64_t layers,
                        std::int64_t heads, std::int64_t max_tokens);

// The parameters of a decoder, in order: the body's, then those of a head of its own. Throws
// std::invalid_argument for an impossible shape.
ArenaLayout decoder_layout(const DecoderShape& shape);

class Decoder {
 public:
  // Throws std::invalid_argument for an impossible shape or compute type.
  explicit Decoder(const DecoderShape& shape, DType compute = preferred_compute_dtype(),
                   ProductBackend backend = ProductBackend::automatic);
  // A decoder whose own parameters are frozen, matrices in bf16, and whose adapters are trained:
  // layout(), initialize(), load_parameters() and gradients are theirs. Throws
  // std::invalid_argument as add_adapters() does, too.
  Decoder(const DecoderShape& shape, const AdapterShape& adapters,
          DType compute = preferred_compute_dtype(),
          ProductBackend backend = ProductBackend::automatic);
  // One whose passes run on a device, which must be made for the same shape and compute type. Spans
  // of parameters and gradients are then of that device's memory; generation is not for it.
  Decoder(const DecoderShape& shape, DType compute, std::unique_ptr<DeviceDecoder> device);
  ~Decoder();
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;

  const DecoderShape& shape() const;
  const ArenaLayout& layout() const;
  DType compute() const;

  // Takes one of the frozen parameters, a place of decoder_layout(shape()), rounding a matrix to
  // bf16. All of them must be there before the first pass. Throws std::invalid_argument for another
  // name or size.
  void load_frozen(const std::string& name, std::span<const float> values);

  // Fills an arena (layout().padded_size() elements): embeddings and weights normal with deviation
  // 0.02, those into the residual stream divided by sqrt(2 layers), norms at one and zero, biases
  // and gaps zero; adapters as initialize_adapters() does. Every value is a function of (seed,
  // parameter, element).
  void initialize(std::span<float> parameters, std::uint64_t seed) const;

  // Packs the weights of an arena. Call it after each update, before the next pass. The arena stays
  // referenced until the next call and must not change meanwhile.
  void load_parameters(std::span<const float> parameters);

  // The places in that arena, in order, that no pass reads any more once it was loaded, where
  // passes see no other tokens than these: what was packed, and other tokens' embeddings.
  std::vector<ParameterPlace> unread_places(std::span<const std::int32_t> tokens) const;

  // From the next forward pass on: whether a pass keeps only the layers' inputs for its backward
  // pass, which then computes each layer's activations once more: less memory for a third more work
  // in products, and the same bytes.
  void recompute_activations(bool recompute);

  // The sum of the tokens' losses, targets[t] being what follows tokens[t], or negative where
  // nothing is asked. losses[t] is the token's own; the span may be empty.
  double loss(const TokenBatch& batch, std::span<const std::int32_t> targets,
              const CrossEntropyOptions& options = {}, std::span<float> losses = {});

  // The same in two parts, with the gradient of the sum added to an arena of gradients: the body's
  // forward pass, which keeps what backward() of the same batch needs and uses up. Dropout, by a
  // key for each token, meets the embeddings and the output of each attention and feed-forward
  // part.
  void forward(const TokenBatch& batch, const Dropout& mask = {});
  double backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                  std::span<float> gradients, const CrossEntropyOptions& options = {},
                  const FinalGradients& on_final = {});

  // Logits [tokens, vocabulary], row by row.
  void logits(const TokenBatch& batch, std::span<float> logits);

  // Generation keeps the keys and values of some sequences, of at most capacities[s] tokens each,
  // until the next call.
  void start_generation(std::span<const std::int64_t> capacities);
  // Puts texts at the start of sequences [first, first + texts.size()), which must be empty, and
  // gives the logits after their last tokens, [texts.size(), vocabulary].
  void prefill(const TokenBatch& texts, std::int64_t first, std::span<float> logits);
  // Appends tokens[i] to sequence sequences[i], each sequence once; logits [tokens, vocabulary].
  // Throws std::invalid_argument for a sequence that is full.
  void append(std::span<const std::int32_t> tokens, std::span<const std::int64_t> sequences,
              std::span<float> logits);

  // Products with weight matrices in one forward pass over `tokens` tokens, and in its backward
  // pass. Attention's own products, whose size depends on the lengths, are not among them.
  std::vector<ProductSize> forward_products(std::int64_t tokens) const;
  std::vector<ProductSize> backward_products(std::int64_t tokens) const;

  // Floating point operations of forward_products() and backward_products() together.
  std::int64_t product_flops(std::int64_t tokens) const;

  // All passes throw std::invalid_argument for sequences that are empty or longer than max_tokens,
  // tokens or targets outside the vocabulary, spans of the wrong size or parameters that were never
  // loaded, and backward() without forward().

 private:
  class Pass;
  template <class T>
  class TypedPass;
  class DevicePass;
  static std::unique_ptr<Pass> make_pass(const DecoderShape& shape, DType compute,
                                         ProductBackend backend, const AdapterShape* adapters);
  std::unique_ptr<Pass> pass_;
};

}  // namespace tutti
