// The head of a decoder in one compute type. Private to the decoder.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/scratch.h"
#include "kernels/model/transformer_pass.h"
#include "kernels/ops/cross_entropy.h"

namespace tutti {

// Logits exist for a chunk of rows at a time, whose number is fixed, so that neither memory nor the
// order of sums depends on the batch or on threads.
template <class T>
class DecoderHead {
 public:
  // `panel_rows` as the body has it. Frozen weights are given in bf16, and stay.
  DecoderHead(std::int64_t vocabulary, std::int64_t width, std::int64_t panel_rows, bool frozen,
              ProductBackend backend);

  // Packs the weights [vocabulary, width], of f32 or bf16.
  void load(const void* weights, DType type);
  // Whether it refers to frozen weights instead of packing them.
  bool in_place() const { return linear_.in_place(); }

  // Losses of the tokens (one a target) from the body's hidden states. With gradients, also the
  // gradient of the hidden states, left in the body, and of the weights, added to `d_weights` (null
  // where they are frozen).
  void losses(TransformerPass<T>& body, std::span<const std::int32_t> targets,
              const CrossEntropyOptions& options, std::span<float> losses);
  void losses_and_gradients(TransformerPass<T>& body, std::span<const std::int32_t> targets,
                            const CrossEntropyOptions& options, std::span<float> losses,
                            float* d_weights);

  // Logits of any rows of hidden states, [rows, vocabulary].
  void logits(MatrixView<const float> hidden, std::span<float> logits);
  // Gives the memory of the last ones back to the system, until there are new ones.
  void discard_logits() { logits_.discard(); }

 private:
  enum Slot { kProduct, kWide, kWeights, kSlots = 4 };

  void start(std::int64_t tokens);
  void fill_logits(MatrixView<const float> hidden, std::int64_t panel_in_chunk);
  void chunk_losses(TransformerPass<T>& body, std::int64_t first_panel, std::int64_t panels,
                    std::span<const std::int32_t> targets, const CrossEntropyOptions& options,
                    bool with_gradient, std::span<float> losses);
  void add_weight_gradients(std::int64_t rows, float* d_weights);
  MatrixView<T> logits_panel(std::int64_t panel_in_chunk) {
    return logits_.rows(panel_in_chunk * panel_rows_, panel_rows_);
  }
  std::byte* product_scratch() {
    return scratch_.template get<std::byte>(kProduct, linear_.scratch_bytes());
  }

  const std::int64_t vocabulary_, panel_rows_, chunk_panels_;
  Linear linear_;
  WeightGradient weight_gradient_;
  Activation<T> hidden_, logits_;  // of a chunk
  std::vector<std::int32_t> targets_;
  std::vector<float> losses_;
  ThreadScratch scratch_;
};

}  // namespace tutti
