// A transformer's body in one compute type: what it holds and does, apart from checking its
// arguments. Private to the models.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/scratch.h"
#include "kernels/core/tensor.h"
#include "kernels/model/adapters.h"
#include "kernels/model/transformer.h"
#include "kernels/model/transformer_layout.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/causal_attention.h"
#include "kernels/ops/dropout.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/low_rank.h"
#include "kernels/ops/product.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rows.h"
#include "kernels/ops/weight_gradient.h"

namespace tutti {

// A matrix of activations: a fixed number of columns, as many rows as the largest batch so far had.
template <class T>
class Activation {
 public:
  explicit Activation(std::int64_t cols) : cols_(cols), stride_(stride_of(cols)) {}

  // Between rows, in elements: rows start at whole cache lines, and never a power of two apart,
  // which would put a panel's rows into the same few lines of the cache.
  static std::int64_t stride_of(std::int64_t cols) { return (cols + 31) / 32 * 32 + 32; }

  void grow(std::int64_t rows) { buffer_.grow(rows * stride_); }
  void discard() { buffer_.discard(0, buffer_.size()); }
  std::int64_t stride() const { return stride_; }
  T* row(std::int64_t index) { return buffer_.data() + index * stride_; }
  MatrixView<T> rows(std::int64_t first, std::int64_t count) {
    return {row(first), count, cols_, stride_};
  }

 private:
  std::int64_t cols_;
  std::int64_t stride_;
  AlignedBuffer<T> buffer_;
};

// The columns of a matrix that belong to one block.
template <class T>
MatrixView<T> block_of(MatrixView<T> matrix, std::int64_t block, std::int64_t size) {
  const std::int64_t first = block * size;
  return {matrix.data + first, matrix.rows, std::min(size, matrix.cols - first), matrix.stride};
}

// Columns of the partial sums, one row a panel, that become gradients of vectors.
struct PartialColumns {
  std::int64_t norm1_gain, norm1_bias, qkv_bias, out_bias, norm2_gain, norm2_bias, ff2_bias,
      ff1_bias, total;

  explicit PartialColumns(const TransformerShape& s)
      : norm1_gain(0),
        norm1_bias(s.width),
        qkv_bias(2 * s.width),
        out_bias(qkv_bias + s.qkv_width()),
        norm2_gain(out_bias + s.width),
        norm2_bias(norm2_gain + s.width),
        ff2_bias(norm2_bias + s.width),
        ff1_bias(ff2_bias + s.width),
        total(ff1_bias + s.feed_forward) {}
};

// What takes part in a layer's attention from outside, such as a cache of keys and values.
template <class T>
class AttentionHook {
 public:
  virtual ~AttentionHook() = default;
  // The position of a row's token in its sequence, where it is not that in the batch.
  virtual const std::int32_t* positions() const { return nullptr; }
  // Sees a layer's queries, keys and values, rotated, row by row of the batch. Fills `context` and
  // returns true, or leaves attention to the pass.
  virtual bool attend(std::int64_t layer, MatrixView<T> qkv, MatrixView<T> context) = 0;
};

// T (float or bf16) is the type of products. Everything is the same bytes for any number of
// threads. Call in this order: load; forward; for gradients then start_backward and backward.
template <class T>
class TransformerPass {
 public:
  // `places` and `adapters` outlive the pass. With adapters, these are trained and all parameters
  // are frozen.
  TransformerPass(const TransformerShape& shape, const TransformerPlaces& places,
                  ProductBackend backend, const Adapters* adapters = nullptr);

  // Packs the weights of an arena, which stays referenced until the next call.
  void load(const float* arena);
  // Of frozen parameters: matrices and vectors in arenas of their own, and adapters in another, all
  // of which stay referenced until the next call. Those of one layer are packed at a time, whenever
  // a pass comes by.
  void load_frozen(const bf16* matrices, const float* vectors, const float* adapters);

  // From the next forward pass on: whether only the layers' inputs are kept, from which the
  // backward pass computes a layer's activations, the same bytes, before it goes through it.
  void recompute_activations(bool recompute) { recompute_ = recompute; }

  // Keeps what the backward pass needs only where `keep` says so. `mask` has a key for each token;
  // it is dropped from the embedding and from both parts' outputs, and the backward pass follows.
  void forward(const TokenBatch& batch, bool keep, AttentionHook<T>* hook = nullptr,
               const Dropout& mask = {});

  // The batch's tokens, rounded up to whole panels of panel_rows().
  std::int64_t panel_rows() const { return panel_rows_; }
  std::int64_t panels() const { return panels_; }
  // A panel of the last norm's output; rows behind the last token are finite.
  MatrixView<float> hidden_panel(std::int64_t panel) { return panel_of(last_h_, panel); }
  MatrixView<float> hidden(std::int64_t first, std::int64_t rows) {
    return last_h_.rows(first, rows);
  }

  // Makes room for the gradient of hidden(), which the caller fills: d_hidden() and
  // d_hidden_panel(). Rows behind the last token are zero.
  void start_backward(const TokenBatch& batch);
  MatrixView<float> d_hidden(std::int64_t first, std::int64_t rows) {
    return d_in_.wide.rows(first, rows);
  }
  MatrixView<float> d_hidden_panel(std::int64_t panel) { return panel_of(d_in_.wide, panel); }

  // Adds the gradients of the body, or of its adapters, to an arena. Whatever stands behind them
  // there is final already.
  void backward(const TokenBatch& batch, std::span<float> gradients,
                const FinalGradients& on_final);

 private:
  using FeedForward = TransformerShape::FeedForward;
  struct PackedLayer {
    Linear qkv, out, ff1, ff2;
    std::optional<Linear> up;
  };
  // One element a row for each of two layer norms.
  struct Statistics {
    AlignedBuffer<float> mean, rstd;
    LayerNormStatistics at(std::int64_t row) { return {mean.data() + row, rstd.data() + row}; }
    void grow(std::int64_t rows) { mean.grow(rows), rstd.grow(rows); }
  };
  // A layer's input, `x`, and its activations. The second half is kept for the backward pass only.
  struct Layer {
    explicit Layer(const TransformerShape& s)
        : x(s.width),
          qkv(s.qkv_width()),
          context(s.context_width()),
          log_sums(s.heads),
          middle(s.width),
          h1(s.width),
          h2(s.width),
          u(s.feed_forward),
          v(s.feed_forward),
          g(s.feed_forward) {}
    std::vector<Activation<T>> low;  // one an adapter
    Activation<float> x;
    Activation<T> qkv, context;
    Activation<float> log_sums;  // of causal attention
    Activation<float> middle;
    Activation<T> h1, h2, u, v, g;  // v: of a gated unit
    Statistics norm1, norm2;
    AlignedBuffer<T> probabilities;  // of bidirectional attention
  };
  // A gradient with respect to the residual stream, and its copy in the compute type.
  struct Residual {
    explicit Residual(std::int64_t width) : wide(width), narrow(width), dropped(width) {}
    Activation<float> wide;
    Activation<bf16> narrow;  // unused where T is float
    Activation<T> dropped;    // with dropout: the gradient of the part's output instead
  };
  // Where a part's output joins the residual stream, and the norm that follows.
  struct Sum {
    MatrixView<const float> base, added;
    const float* added_bias;
    LayerNormWeights norm;
    MatrixView<float> x;  // the sum
    LayerNormStatistics statistics;
    MatrixView<float> normed;  // of norms after the sums: in float, for what goes around
  };
  struct WeightTask {
    const WeightGradient* kind;
    std::int64_t panel;
    const T* dy;
    const T* x;
    float* gradient;
  };
  enum Slot {
    kProduct,
    kWide,
    kWide2,
    kWide3,
    kNorm,
    kH1,
    kH2,
    kU,
    kV,
    kG,
    kLowRank,
    kWeights,
    kSlots = 13
  };

  // A block of the feed-forward part's inner dimension, and the distance of its rows in scratch.
  std::int64_t inner_block() const { return Linear::block_of(shape_.feed_forward); }
  std::int64_t inner_stride() const { return Activation<float>::stride_of(inner_block()); }
  LinearShape linear_shape(const LinearPlaces& linear) const;
  PackedLayer make_layer(const LayerPlaces& layer, ProductBackend backend) const;
  WeightGradientShape weight_shape(const LinearPlaces& linear) const;
  bool gated() const { return shape_.feed_forward_kind == FeedForward::swiglu; }
  bool norms_after() const { return shape_.norm_order == TransformerShape::NormOrder::after; }
  bool causal() const { return shape_.attention == TransformerShape::Attention::causal; }

  const float* parameter(const ParameterPlace& p) const {
    return p.size == 0 ? nullptr : arena_ + p.offset;
  }
  LayerNormWeights norm(const NormPlaces& n) const {
    return {parameter(n.gain), parameter(n.bias), shape_.norm, shape_.norm_epsilon};
  }
  const NormPlaces& norm_after(std::int64_t layer) const;
  bool frozen() const { return adapters_ != nullptr; }
  PackedLayer& packed(std::int64_t index) { return packed_[frozen() ? 0 : index]; }
  Layer& layer(std::int64_t index) { return *layers_[keep_ && !recompute_ ? index : 0]; }
  MatrixView<float> input_panel(std::int64_t index, std::int64_t panel) {
    return panel_of(layers_[keep_inputs_ ? index : 0]->x, panel);
  }

  // Panel `index` of a matrix of activations, and scratch matrices of that size.
  template <class U>
  MatrixView<U> panel_of(Activation<U>& activation, std::int64_t index) {
    return activation.rows(index * panel_rows_, panel_rows_);
  }
  template <class U>
  MatrixView<U> scratch_panel(Slot slot, std::int64_t cols) {
    const std::int64_t stride = Activation<U>::stride_of(cols);
    return {scratch_.template get<U>(slot, panel_rows_ * stride), panel_rows_, cols, stride};
  }
  MatrixView<T> kept_or_scratch(Activation<T>& kept, std::int64_t panel, Slot slot,
                                std::int64_t cols);
  MatrixView<float> float_target(MatrixView<T> target, Slot slot);
  std::byte* product_scratch(const Linear& linear) {
    return scratch_.template get<std::byte>(kProduct, linear.scratch_bytes());
  }
  std::span<const std::int32_t> positions_of(std::int64_t panel) const {
    return std::span(positions_).subspan(panel * panel_rows_, panel_rows_);
  }

  // Adapters: `x`, `y` and their gradients are those of a panel of the part that they belong to.
  using Part = AdapterPlaces::Part;
  static constexpr std::initializer_list<Part> kAllParts{Part::qkv, Part::out, Part::ff1, Part::up,
                                                         Part::ff2};
  enum class Direction : std::uint8_t { forward, backward };
  void make_adapters(ProductBackend backend);
  void pack_frozen(std::int64_t index, std::initializer_list<Part> parts, Direction direction);
  void pack_adapters(std::int64_t index, std::initializer_list<Part> parts);
  void pack_for_finish(std::int64_t index);
  void embed_frozen_rows(const TokenBatch& batch, std::int64_t panel);
  // visit(adapter, its places, its number) for each adapter of a part.
  template <class Visit>
  void each_adapter(std::int64_t index, Part part, Visit&& visit);
  // Where the gradient of a part's output, and its input, stand.
  const T* d_output(Part part, Layer& layer);
  const T* input(Part part, Layer& layer);
  void find_low(std::int64_t index, Part part, std::int64_t panel, const T* x);
  void add_low(std::int64_t index, Part part, std::int64_t panel, const T* x, float* y);
  void add_low_block(std::int64_t index, Part part, std::int64_t panel, std::int64_t block,
                     float* y);
  void find_d_low(std::int64_t index, Part part, std::int64_t panel, const T* dy);
  void add_d_low(std::int64_t index, Part part, std::int64_t panel, const T* dy, float* dx);
  void add_d_low_block(std::int64_t index, Part part, std::int64_t panel, std::int64_t block,
                       float* dx);
  void add_adapter_gradients(std::int64_t index, std::span<float> gradients);

  // Dropout.
  bool drops() const { return dropout_rate_ > 0; }
  static std::uint64_t attention_place(std::int64_t index) { return 1 + 2 * index; }
  static std::uint64_t feed_forward_place(std::int64_t index) { return 2 + 2 * index; }
  Dropout dropout_of(std::int64_t panel) const;
  void start_dropout(const Dropout& mask);
  void drop_embedding(MatrixView<float> x, std::int64_t panel);
  const float* drop_output(MatrixView<float> product, const float* bias, std::uint64_t place,
                           std::int64_t panel);
  void drop_gradient(Residual& residual, std::uint64_t place, std::int64_t panel);
  void output_bias_sums(Residual& residual, std::int64_t panel, float* sums);

  // Forward, a panel of rows at a time.
  void start(const TokenBatch& batch, bool keep, const AttentionHook<T>* hook);
  void grow_layer(Layer& layer, bool whole);
  void place_probabilities(const TokenBatch& batch);
  void embed_rows(const TokenBatch& batch, std::int64_t panel);
  void sum_and_norm(const Sum& sum, MatrixView<T> h);
  void feed_forward(std::int64_t index, std::int64_t panel, MatrixView<const T> h,
                    MatrixView<float> out);
  void gated_feed_forward(std::int64_t index, std::int64_t panel, MatrixView<const T> h,
                          MatrixView<float> out);
  void project_qkv(std::int64_t index, std::int64_t panel, MatrixView<const T> h);
  void first_norm(std::int64_t index, std::int64_t panel);
  void attend(std::int64_t index, const TokenBatch& batch, AttentionHook<T>* hook);
  void run_feed_forward(std::int64_t index, std::int64_t panel, MatrixView<const T> h,
                        MatrixView<float> out);
  MatrixView<float> finish_attention(std::int64_t index, std::int64_t panel, MatrixView<T> h2);
  void finish_layer(std::int64_t index, std::int64_t panel);

  // Backward.
  void recompute(std::int64_t index, const TokenBatch& batch);
  void discard_until_recomputed();
  void back_final_norm(std::int64_t panel);
  MatrixView<float> back_feed_forward(std::int64_t index, std::int64_t panel);
  MatrixView<float> back_gated_feed_forward(std::int64_t index, std::int64_t panel);
  void back_middle(std::int64_t index, std::int64_t panel);
  void back_attention(std::int64_t index, const TokenBatch& batch);
  void back_qkv(std::int64_t index, std::int64_t panel);
  MatrixView<const float> join(MatrixView<float> d_h, MatrixView<const float> around);
  void add_type_gradient(std::span<float> gradients);
  void add_weight_gradients(std::int64_t index, std::span<float> gradients);
  void add_layer_gradients(std::int64_t index, std::span<float> gradients);
  void add_embedding_gradients(const TokenBatch& batch, std::span<float> gradients);
  void run_weight_tasks(const std::vector<WeightTask>& tasks);
  void add_vector_gradients(const std::vector<std::pair<ParameterPlace, std::int64_t>>& parts,
                            std::span<float> gradients);
  MatrixView<const T> compute_panel(Residual& residual, std::int64_t panel);
  const T* compute_data(Residual& residual);
  MatrixView<bf16> narrow_panel(Residual& residual, std::int64_t panel);
  float* partial(std::int64_t panel, std::int64_t column) { return partials_.row(panel) + column; }

  const TransformerShape shape_;
  const TransformerPlaces& places_;
  const float* arena_ = nullptr;
  const Adapters* const adapters_;
  const bf16* matrices_ = nullptr;  // frozen
  const float* adapter_arena_ = nullptr;
  std::vector<LowRank<T>> low_rank_;  // by adapter, as for what follows; of one layer at a time
  std::vector<LowRankGradients> low_rank_gradients_;
  std::vector<Activation<T>> d_low_;
  const std::int64_t panel_rows_;  // rows that go through a layer together
  const PartialColumns columns_;
  std::vector<PackedLayer> packed_;
  WeightGradient qkv_gradient_, out_gradient_, ff1_gradient_, ff2_gradient_;
  std::unique_ptr<Attention<T>> bidirectional_;
  std::unique_ptr<CausalAttention<T>> causal_;
  RopeTable rope_;
  ThreadScratch scratch_;

  bool recompute_ = false;
  bool keep_ = false;                    // of a layer what its backward pass needs
  bool keep_inputs_ = false;             // of all layers
  std::int64_t tokens_ = 0;              // in the batch
  std::int64_t panels_ = 0;              // of panel_rows_ rows that hold them
  std::int64_t rows_ = 0;                // in the panels
  std::vector<std::int32_t> positions_;  // of all rows, zero behind the last token
  float dropout_rate_ = 0;
  std::vector<std::uint64_t> dropout_rows_;  // keys of all rows, where something is dropped
  std::vector<std::int64_t> probability_offsets_;
  std::vector<std::unique_ptr<Layer>> layers_;
  Activation<float> normed_;  // of norms after the sums: what goes around the attention
  Activation<float> last_x_, last_h_;
  Statistics last_norm_;

  Residual d_out_, d_middle_, d_in_;
  Activation<T> d_context_, d_qkv_;
  Activation<float> partials_;
};

}  // namespace tutti
