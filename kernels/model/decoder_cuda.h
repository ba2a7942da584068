// A decoder's passes on a GPU: the computation of transformer.h over the whole batch at a time, in
// one stream, without waiting for the device before its end. Residual stream, its gradient,
// statistics and sums are in f32, everything between them in T (float or bf16). The same batch and
// parameters give the same bytes on GPUs of one model.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/upload.h"
#include "kernels/model/decoder_layout.h"
#include "kernels/model/device_decoder.h"
#include "kernels/ops/causal_attention_cuda.h"
#include "kernels/ops/layer_norm_cuda.h"
#include "kernels/ops/rope_cuda.h"
#include "kernels/ops/rows_cuda.h"

namespace tutti::cuda {

template <class T>
class DecoderPass final : public DeviceDecoder {
 public:
  // `products` outlives it. Throws std::invalid_argument for shapes that a GPU does not take:
  // widths and heads must be multiples of 8, and GELU is in its tanh form.
  DecoderPass(const DecoderShape& shape, Products& products, cudaStream_t stream);

  void recompute_activations(bool recompute) override;
  void load(std::span<const float> parameters) override;
  void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
              const CrossEntropyOptions& options, std::span<float> losses) override;
  void forward(const TokenBatch& batch, const Dropout& mask) override;
  void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                const CrossEntropyOptions& options, std::span<float> losses,
                std::span<float> gradients, const FinalGradients& on_final) override;
  void logits(const TokenBatch& batch, std::span<float> logits) override;

 private:
  // A matrix of activations within the arena, one row a token.
  template <class U>
  struct Place {
    std::int64_t at = 0, cols = 0;
  };
  struct Layer {
    Place<T> h1, qkv, context;
    Place<float> log_sums, middle;
    Place<T> h2, u, g;  // u: of a gated unit, gate and up side by side
    Place<float> mean1, rstd1, mean2, rstd2;
  };
  // A gradient with respect to the residual stream, and its copy in T where T is not float.
  struct Residual {
    Place<float> wide;
    Place<T> narrow;
  };

  bool gated() const { return body().feed_forward_kind == TransformerShape::FeedForward::swiglu; }
  const TransformerShape& body() const { return shape_.body; }
  std::int64_t head_columns() const;
  // Of the head, in rows.
  std::int64_t chunk_rows() const;

  void plan(std::int64_t rows, bool keep);
  void plan_layer(Layer& layer);
  template <class U>
  Place<U> place(std::int64_t cols) {
    return {arena_.plan<U>(capacity_ * cols), cols};
  }
  template <class U>
  MatrixView<U> view(const Place<U>& place) {
    return {arena_.at<U>(place.at), rows_, place.cols};
  }
  template <class U>
  U* data(const Place<U>& place) {
    return arena_.at<U>(place.at);
  }
  Layer& layer(std::int64_t index) { return layers_[keep_ && !recompute_ ? index : 0]; }
  const Place<float>& input(std::int64_t index) { return inputs_[keep_ ? index : index % 2]; }
  MatrixView<const T> compute(const Residual& residual);
  MatrixView<T> narrow(const Residual& residual);

  // Parameters in f32 (null where the model has none), and in T.
  const float* parameter(const ParameterPlace& p) const {
    return p.size == 0 ? nullptr : parameters_ + p.offset;
  }
  const T* weights(const ParameterPlace& p) const;
  LayerNormWeights norm(const NormPlaces& n) const {
    return {parameter(n.gain), parameter(n.bias), body().norm, body().norm_epsilon};
  }
  const NormPlaces& norm_after(std::int64_t layer) const;
  // The feed-forward part's first matrix: of a gated unit, both as one.
  LinearPlaces first_matrix(const LayerPlaces& layer) const;

  void multiply(MatrixView<const T> x, const LinearPlaces& linear, const ParameterPlace& bias,
                MatrixView<T> y);
  void multiply_back(MatrixView<const T> d_y, const LinearPlaces& linear, MatrixView<T> d_x);
  void add_weight_gradient(MatrixView<const T> d_y, MatrixView<const T> x,
                           const LinearPlaces& linear, float* gradients);

  void start(const TokenBatch& batch, bool keep);
  void run(const TokenBatch& batch, bool keep);
  void add_and_norm(const Place<float>& base, const Place<T>* added, const float* bias,
                    const NormPlaces& norm, const Place<float>& sum, const Place<T>& out,
                    const Place<float>& mean, const Place<float>& rstd);
  void attend(std::int64_t index);
  void feed_forward(std::int64_t index);
  void recompute_layer(std::int64_t index);

  void head_logits(std::int64_t first, std::int64_t rows);
  void head_losses(std::span<const std::int32_t> targets, const CrossEntropyOptions& options,
                   float* gradients);
  void fetch_losses(std::span<float> losses);
  void norm_backward(const Place<T>& d_out, const Place<float>& x, const Place<float>& mean,
                     const Place<float>& rstd, const NormPlaces& places, const Residual* skip,
                     const Residual& d_x, const ParameterPlace& bias_before, float* gradients);
  void feed_forward_back(std::int64_t index, float* gradients);
  void attend_back(std::int64_t index, float* gradients);
  void add_embedding_gradients(float* gradients);
  void add_vector_gradient(std::int64_t column, const ParameterPlace& to, float* gradients);

  const DecoderShape shape_;
  Products& products_;
  cudaStream_t stream_;
  ArenaLayout layout_;
  TransformerPlaces places_;
  ParameterPlace head_;
  CausalAttention attention_;
  std::optional<Rope> rope_;
  bool recompute_ = false;

  const float* parameters_ = nullptr;
  DeviceBuffer<bf16> narrow_parameters_;  // where T is not float

  DeviceArena arena_;
  std::int64_t capacity_ = 0, rows_ = 0;  // tokens that there is room for, and those of the batch
  bool kept_capacity_ = false, keep_ = false;
  std::vector<Layer> layers_;
  std::vector<Place<float>> inputs_;  // of layers, in the residual stream
  Place<float> last_x_, last_mean_, last_rstd_, losses_, deltas_;
  Place<T> last_h_, product_;  // product_: what is not kept
  Residual d_out_, d_middle_;
  Place<T> d_h_, d_u_, d_context_, d_qkv_;
  std::int64_t logits_ = 0, partials_ = 0;
  Upload<std::int32_t> tokens_, positions_, targets_;
  std::vector<std::int32_t> host_positions_;
  ScatterPlan token_plan_, position_plan_;
  PinnedBuffer<float> host_losses_;
};

}  // namespace tutti::cuda
