// Claim train.encoder.roofline: a full contrastive training step against its matrix products alone.
//
// The step is what the train job does (GradCache, Gao et al., 2021): embed every micro-batch,
// InfoNCE over the global batch, forward and backward of every micro-batch, gradient norm, AdamW,
// packing of the new weights. The limit is the list of products with weight matrices in that step,
// run by oneDNN with its own threads, weights packed in the layout that it prefers.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/claim.h"
#include "bench/products.h"
#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "kernels/core/random.h"
#include "kernels/model/encoder.h"
#include "kernels/ops/info_nce.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/gradient_norm.h"

namespace tutti::bench {
namespace {

constexpr EncoderShape kShape{.vocabulary = 8192,
                              .width = 256,
                              .layers = 3,
                              .heads = 4,
                              .feed_forward = 1024,
                              .max_tokens = 128};
constexpr std::int64_t kPairs = 256;
constexpr std::int64_t kMicroBatch = 64;
constexpr int kRounds = 7;

// Synthetic sequences of `shortest` to `longest` tokens.
struct Sequences {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> offsets{0};

  Sequences(std::uint64_t seed, std::int64_t count, std::int64_t shortest, std::int64_t longest) {
    for (std::int64_t s = 0; s < count; ++s) {
      const auto span = static_cast<std::uint64_t>(longest - shortest + 1);
      const auto length = shortest + static_cast<std::int64_t>(random_u64(seed, 0, s) % span);
      for (std::int64_t t = 0; t < length; ++t)
        tokens.push_back(static_cast<std::int32_t>(random_u64(seed, s + 1, t) % kShape.vocabulary));
      offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    }
  }
  TokenBatch batch() const { return {tokens, offsets}; }
};

struct Data {
  std::vector<Sequences> queries, passages;

  Data() {
    for (std::int64_t piece = 0; piece < kPairs / kMicroBatch; ++piece) {
      queries.emplace_back(2 * piece, kMicroBatch, 6, 18);
      passages.emplace_back(2 * piece + 1, kMicroBatch, 72, 128);
    }
  }
  std::int64_t tokens() const {
    std::int64_t total = 0;
    for (const auto* side : {&queries, &passages})
      for (const Sequences& s : *side) total += static_cast<std::int64_t>(s.tokens.size());
    return total;
  }
};

// One training step.
class Trainer {
 public:
  explicit Trainer(const Data& data) : data_(data), encoder_(kShape) {
    const std::int64_t size = encoder_.layout().padded_size();
    for (auto* arena : {&parameters_, &gradients_, &piece_gradients_, &first_, &second_})
      arena->grow(size);
    encoder_.initialize(parameters_.span(), 1);
    encoder_.load_parameters(parameters_.span());
    for (auto* matrix : {&queries_, &passages_, &d_queries_, &d_passages_})
      matrix->grow(kPairs * kShape.width);
    log_sum_exp_.grow(kPairs);
    losses_.grow(kPairs);
    norms_.grow(encoder_.layout().block_count());
  }

  const Encoder& encoder() const { return encoder_; }
  double loss() const {
    double sum = 0;
    for (const float loss : losses_) sum += loss;
    return sum / kPairs;
  }

  void step() {
    embed_all();
    contrast();
    differentiate();
    update();
  }

  void embed_all() {
    for (std::size_t i = 0; i < data_.queries.size(); ++i) {
      encoder_.embed(data_.queries[i].batch(), piece(queries_, i));
      encoder_.embed(data_.passages[i].batch(), piece(passages_, i));
    }
  }

  void contrast() {
    for (std::size_t i = 0; i < data_.queries.size(); ++i)
      loss_.query_pass(piece_view(queries_, i), view(queries_.size(), passages_), kScale,
                       i * kMicroBatch, log_sum_exp_.span().subspan(i * kMicroBatch, kMicroBatch),
                       losses_.span().subspan(i * kMicroBatch, kMicroBatch),
                       piece_view(d_queries_, i));
    for (std::size_t i = 0; i < data_.passages.size(); ++i)
      loss_.passage_pass(piece_view(passages_, i), view(passages_.size(), queries_), kScale,
                         i * kMicroBatch, log_sum_exp_.span(), piece_view(d_passages_, i));
  }

  void differentiate() {
    clear(gradients_);
    for (std::size_t i = 0; i < data_.queries.size(); ++i) {
      clear(piece_gradients_);
      pass(data_.queries[i], piece(queries_, i), piece(d_queries_, i));
      pass(data_.passages[i], piece(passages_, i), piece(d_passages_, i));
      add_piece();
    }
  }

  void update() {
    block_square_sums(gradients_.span(), norms_.span());
    double squares = 0;
    for (const double sum : norms_) squares += sum;
    adamw_update(encoder_.layout(), {.learning_rate = 3e-4f}, ++steps_,
                 clip_scale(std::sqrt(squares), 1.0),
                 {0, parameters_.span(), gradients_.span(), first_.span(), second_.span()});
    encoder_.load_parameters(parameters_.span());
  }

 private:
  static constexpr float kScale = 20.0f;

  static std::span<float> piece(AlignedBuffer<float>& matrix, std::size_t index) {
    constexpr std::int64_t kSize = kMicroBatch * kShape.width;
    return matrix.span().subspan(index * kSize, kSize);
  }
  static MatrixView<float> piece_view(AlignedBuffer<float>& matrix, std::size_t index) {
    return {piece(matrix, index).data(), kMicroBatch, kShape.width};
  }
  static MatrixView<float> view(std::int64_t size, AlignedBuffer<float>& matrix) {
    return {matrix.data(), size / kShape.width, kShape.width};
  }

  void pass(const Sequences& sequences, std::span<float> embeddings,
            std::span<float> d_embeddings) {
    encoder_.forward(sequences.batch(), embeddings);
    encoder_.backward(sequences.batch(), d_embeddings, piece_gradients_.span());
  }

  // Each piece has an arena of its own, which the job adds up over a tree of pieces.
  void clear(AlignedBuffer<float>& arena) {
    parallel_for(encoder_.layout().block_count(), [&](std::int64_t block) {
      std::fill_n(arena.data() + block * kArenaBlock, kArenaBlock, 0.0f);
    });
  }
  void add_piece() {
    parallel_for(encoder_.layout().block_count(), [&](std::int64_t block) {
      float* total = gradients_.data() + block * kArenaBlock;
      const float* part = piece_gradients_.data() + block * kArenaBlock;
      for (std::int64_t i = 0; i < kArenaBlock; ++i) total[i] += part[i];
    });
  }

  const Data& data_;
  Encoder encoder_;
  InfoNce loss_;
  std::int64_t steps_ = 0;
  AlignedBuffer<float> parameters_, gradients_, piece_gradients_, first_, second_;
  AlignedBuffer<float> queries_, passages_, d_queries_, d_passages_, log_sum_exp_, losses_;
  AlignedBuffer<double> norms_;
};

// The products of a step.
void add_products(Products& products, const Data& data, const Encoder& encoder) {
  for (const auto* side : {&data.queries, &data.passages})
    for (const Sequences& s : *side) {
      const auto tokens = static_cast<std::int64_t>(s.tokens.size());
      products.add(encoder.forward_products(tokens), 2);  // GradCache runs forward twice
      products.add(encoder.backward_products(tokens), 1);
    }
}

void run() {
  const Data data;
  Trainer trainer(data);
  Products products(trainer.encoder().compute());
  add_products(products, data, trainer.encoder());
  trainer.step();
  products.run();
  std::vector<double> steps, limits;
  for (int round = 0; round < kRounds; ++round) {
    limits.push_back(seconds([&] { products.run(); }));
    steps.push_back(seconds([&] { trainer.step(); }));
  }
  const double step = median(steps), limit = median(limits);
  char detail[256];
  std::snprintf(detail, sizeof(detail),
                "%s, %lld tokens a step, %.0f ms a step, %.0f ms its weight products in oneDNN, "
                "%d threads, loss %.3f",
                std::string(name_of(trainer.encoder().compute())).c_str(),
                static_cast<long long>(data.tokens()), 1e3 * step, 1e3 * limit, thread_count(),
                trainer.loss());
  print_claim("train.encoder.roofline", limit / step, 0.60, detail);
}

}  // namespace
}  // namespace tutti::bench

int main() { tutti::bench::run(); }
