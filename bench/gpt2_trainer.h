// GPT-2 124M in training, as the train job has it: forward and backward over 16 sequences of 1024
// tokens, one at a time, their gradients accumulated in two pieces of the fixed-order sum, gradient
// norm, AdamW, packing of the new weights.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/core/random.h"
#include "kernels/model/decoder.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/gradient_norm.h"

namespace tutti::bench {

// The sequences are one of random tokens, again and again.
class Gpt2Trainer {
 public:
  static constexpr std::int64_t kVocabulary = 50257, kWidth = 768, kLayers = 12, kHeads = 12,
                                kLength = 1024, kSequences = 16, kTokens = kLength * kSequences;

  Gpt2Trainer() : decoder_(gpt2_shape(kVocabulary, kWidth, kLayers, kHeads, kLength)) {
    const std::int64_t size = decoder_.layout().padded_size();
    for (auto* arena : {&parameters_, &gradients_, &piece_gradients_, &first_, &second_})
      arena->grow(size);
    decoder_.initialize(parameters_.span(), 1);
    decoder_.load_parameters(parameters_.span());
    norms_.grow(decoder_.layout().block_count());
    for (std::int64_t i = 0; i <= kLength; ++i)
      tokens_.push_back(static_cast<std::int32_t>(random_u64(1, 0, i) % kVocabulary));
  }

  Decoder& decoder() { return decoder_; }
  // The mean over the tokens of the last step, before its update.
  double loss() const { return loss_ / double(kTokens); }

  // What a checkpoint holds: the parameters and both moments.
  std::array<std::span<float>, 3> state() {
    return {parameters_.span(), first_.span(), second_.span()};
  }

  // One sequence's forward and backward pass; nothing is updated.
  void accumulate() { sequence(); }

  void step() {
    clear(gradients_);
    loss_ = 0;
    for (std::int64_t piece = 0; piece < kPieces; ++piece) {
      clear(piece_gradients_);
      for (std::int64_t s = 0; s < kSequences / kPieces; ++s) sequence();
      add_piece();
    }
    update();
  }

 private:
  static constexpr std::int64_t kPieces = 2;

  void sequence() {
    const std::int32_t offsets[2] = {0, kLength};
    const TokenBatch batch{std::span(tokens_).first(kLength), offsets};
    decoder_.forward(batch);
    loss_ += decoder_.backward(batch, std::span(tokens_).last(kLength), piece_gradients_.span());
  }
  void clear(AlignedBuffer<float>& arena) {
    each_block([&](std::int64_t first) { std::fill_n(arena.data() + first, kArenaBlock, 0.0f); });
  }
  void add_piece() {
    each_block([&](std::int64_t first) {
      for (std::int64_t i = first; i < first + kArenaBlock; ++i)
        gradients_.data()[i] += piece_gradients_.data()[i];
    });
  }
  template <class Work>
  void each_block(Work&& work) {
    parallel_for(decoder_.layout().block_count(),
                 [&](std::int64_t block) { work(block * kArenaBlock); });
  }
  void update() {
    block_square_sums(gradients_.span(), norms_.span());
    double squares = 0;
    for (const double sum : norms_) squares += sum;
    const double scale = 1.0 / double(kTokens);
    adamw_update(decoder_.layout(), {.learning_rate = 3e-4f}, ++steps_,
                 float(scale * clip_scale(scale * std::sqrt(squares), 1.0)),
                 {0, parameters_.span(), gradients_.span(), first_.span(), second_.span()});
    decoder_.load_parameters(parameters_.span());
  }

  Decoder decoder_;
  std::int64_t steps_ = 0;
  double loss_ = 0;
  std::vector<std::int32_t> tokens_;
  AlignedBuffer<float> parameters_, gradients_, piece_gradients_, first_, second_;
  AlignedBuffer<double> norms_;
};

}  // namespace tutti::bench
