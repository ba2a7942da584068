// What an encoder holds and does, apart from checking its arguments. Private to the encoder.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/scratch.h"
#include "kernels/core/tensor.h"
#include "kernels/model/encoder.h"
#include "kernels/model/encoder_layout.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/product.h"
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

// Everything that does not depend on the compute type.
class Encoder::Pass {
 public:
  Pass(const EncoderShape& shape, DType compute)
      : shape_(shape), compute_(compute), parameters_(encoder_parameters(shape)) {}
  virtual ~Pass() = default;

  virtual void load() = 0;
  virtual void forward(const TokenBatch& batch, std::span<float> embeddings, bool keep) = 0;
  virtual void backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                        std::span<float> gradients) = 0;

  const EncoderShape shape_;
  const DType compute_;
  const EncoderParameters parameters_;
  std::span<const float> arena_;
  std::int64_t kept_tokens_ = -1;  // of the last forward(), -1 where backward() has nothing
};

template <class T>
class Encoder::TypedPass final : public Encoder::Pass {
 public:
  TypedPass(const EncoderShape& shape, ProductBackend backend);

  void load() override;
  void forward(const TokenBatch& batch, std::span<float> embeddings, bool keep) override;
  void backward(const TokenBatch& batch, std::span<const float> d_embeddings,
                std::span<float> gradients) override;

 private:
  struct PackedLayer {
    Linear qkv, out, ff1, ff2;
  };
  // One element a row for each of two layer norms.
  struct Statistics {
    AlignedBuffer<float> mean, rstd;
    LayerNormStatistics at(std::int64_t row) { return {mean.data() + row, rstd.data() + row}; }
    void grow(std::int64_t rows) { mean.grow(rows), rstd.grow(rows); }
  };
  // A layer's activations. The second half is kept for the backward pass only.
  struct Layer {
    Layer(const EncoderShape& s)
        : x(s.width),
          qkv(3 * s.width),
          context(s.width),
          middle(s.width),
          h1(s.width),
          h2(s.width),
          u(s.feed_forward),
          g(s.feed_forward) {}
    Activation<float> x;
    Activation<T> qkv, context;
    Activation<float> middle;
    Activation<T> h1, h2, u, g;
    Statistics norm1, norm2;
    AlignedBuffer<T> probabilities;
  };
  // A gradient with respect to the residual stream, and its copy in the compute type.
  struct Residual {
    explicit Residual(std::int64_t width) : wide(width), narrow(width) {}
    Activation<float> wide;
    Activation<bf16> narrow;  // unused where T is float
  };
  struct WeightTask {
    const WeightGradient* kind;
    std::int64_t panel;
    const T* dy;
    const T* x;
    float* gradient;
  };
  enum Slot { kProduct, kWide, kWide2, kH1, kH2, kU, kG, kStatistics, kWeights, kSlots = 10 };

  Linear make_linear(const EncoderLinear& linear, bool cut_outputs, ProductBackend backend) const;
  WeightGradientShape weight_shape(const EncoderLinear& linear) const;

  const float* parameter(const EncoderParameter& p) const { return arena_.data() + p.offset; }
  LayerNormWeights norm(const EncoderNorm& n) const {
    return {parameter(n.gain), parameter(n.bias)};
  }
  const EncoderNorm& norm_after(std::int64_t layer) const;
  Layer& layer(std::int64_t index) { return *layers_[keep_ ? index : 0]; }

  // Panel `index` of a matrix of activations, and scratch matrices of that size.
  template <class U>
  MatrixView<U> panel_of(Activation<U>& activation, std::int64_t index) {
    return activation.rows(index * panel_rows_, panel_rows_);
  }
  template <class U>
  MatrixView<U> scratch_panel(Slot slot, std::int64_t cols) {
    const std::int64_t stride = Activation<U>::stride_of(cols);
    return {scratch_.get<U>(slot, panel_rows_ * stride), panel_rows_, cols, stride};
  }
  MatrixView<T> kept_or_scratch(Activation<T>& kept, std::int64_t panel, Slot slot,
                                std::int64_t cols);
  MatrixView<float> float_target(MatrixView<T> target, Slot slot);
  std::byte* product_scratch(const Linear& linear) {
    return scratch_.get<std::byte>(kProduct, linear.scratch_bytes());
  }

  // Forward, a panel of rows at a time.
  void start(const TokenBatch& batch, bool keep);
  void grow_layer(Layer& layer, bool whole);
  void place_probabilities(const TokenBatch& batch);
  void embed_rows(const TokenBatch& batch, std::int64_t panel);
  void feed_forward(std::int64_t index, std::int64_t panel, MatrixView<const T> h,
                    MatrixView<float> out);
  void project_qkv(std::int64_t index, std::int64_t panel, MatrixView<const T> h);
  void first_norm(std::int64_t panel);
  void attend(std::int64_t index, const TokenBatch& batch);
  void finish_layer(std::int64_t index, std::int64_t panel);
  void pool(const TokenBatch& batch, std::span<float> embeddings);

  // Backward.
  void start_backward(const TokenBatch& batch, std::span<const float> d_embeddings);
  void back_final_norm(std::int64_t panel);
  MatrixView<float> back_feed_forward(std::int64_t index, std::int64_t panel);
  void back_middle(std::int64_t index, std::int64_t panel);
  void back_attention(std::int64_t index, const TokenBatch& batch);
  void back_qkv(std::int64_t index, std::int64_t panel);
  void add_weight_gradients(std::int64_t index, std::span<float> gradients);
  void add_vector_gradients(const std::vector<std::pair<EncoderParameter, std::int64_t>>& parts,
                            std::span<float> gradients);
  MatrixView<const T> compute_panel(Residual& residual, std::int64_t panel);
  const T* compute_data(Residual& residual);
  MatrixView<bf16> narrow_panel(Residual& residual, std::int64_t panel);
  float* partial(std::int64_t panel, std::int64_t column) { return partials_.row(panel) + column; }

  const std::int64_t panel_rows_;  // rows that go through a layer together
  std::vector<PackedLayer> packed_;
  WeightGradient qkv_gradient_, out_gradient_, ff1_gradient_, ff2_gradient_;
  Attention<T> attention_;
  ThreadScratch scratch_;

  bool keep_ = false;
  std::int64_t tokens_ = 0;  // in the batch
  std::int64_t panels_ = 0;  // of panel_rows_ rows that hold them
  std::int64_t rows_ = 0;    // in the panels
  std::vector<std::int32_t> positions_;
  std::vector<std::int64_t> probability_offsets_;
  std::vector<std::unique_ptr<Layer>> layers_;
  Activation<float> last_x_, last_h_;
  Statistics last_norm_;
  std::vector<float> embeddings_, norms_;

  Residual d_out_, d_middle_, d_in_;
  Activation<T> d_context_, d_qkv_;
  Activation<float> partials_;
};

}  // namespace tutti
