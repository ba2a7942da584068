#include "kernels/model/decoder_cuda.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "kernels/cuda/arrays_cuda.h"
#include "kernels/cuda/stream.h"
#include "kernels/ops/activation_cuda.h"
#include "kernels/ops/cross_entropy_cuda.h"

namespace tutti::cuda {
namespace {

// Rows whose logits exist at a time.
constexpr std::int64_t kChunkRows = 4096;
// Columns of logits, so that rows of bf16 suit the tensor cores.
constexpr std::int64_t kLogitColumns = 64;

constexpr std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

void check_shape(const TransformerShape& s) {
  require(s.width % 8 == 0 && s.feed_forward % 8 == 0 && s.head_size % 8 == 0,
          "decoder: on a GPU, widths and heads must be multiples of 8");
  require(s.norm_order == TransformerShape::NormOrder::before && s.token_types == 0 &&
              (s.feed_forward_kind == TransformerShape::FeedForward::swiglu ||
               s.gelu == GeluForm::tanh),
          "decoder: a GPU takes the shapes of GPT-2 and Llama alone");
}

}  // namespace

template <class T>
DecoderPass<T>::DecoderPass(const DecoderShape& shape, Products& products, cudaStream_t stream)
    : shape_(shape),
      products_(products),
      stream_(stream),
      places_(add_decoder_body(layout_, layout_, shape)),
      head_(add_decoder_head(layout_, shape, places_.token)),
      attention_({shape.body.heads, shape.body.kv_heads, shape.body.head_size, shape.body.window}) {
  check_shape(shape.body);
  if (!shape.body.learned_positions)
    rope_.emplace(shape.body.rope, shape.body.head_size, shape.body.max_tokens, stream);
  // The head's last columns are those of rows behind its matrix, which must be there and finite.
  if constexpr (!std::is_same_v<T, float>) {
    narrow_parameters_.grow(layout_.padded_size() + kLogitColumns * shape.body.width);
    check(cudaMemsetAsync(narrow_parameters_.data(), 0,
                          std::size_t(narrow_parameters_.size()) * sizeof(bf16), stream),
          "cudaMemsetAsync");
  }
}

template <class T>
void DecoderPass<T>::recompute_activations(bool recompute) {
  if (recompute != recompute_) capacity_ = 0;
  recompute_ = recompute;
}

template <class T>
void DecoderPass<T>::load(std::span<const float> parameters) {
  parameters_ = parameters.data();
  if constexpr (!std::is_same_v<T, float>)
    round_to_bf16(parameters, narrow_parameters_.span().first(parameters.size()), stream_);
}

template <class T>
const T* DecoderPass<T>::weights(const ParameterPlace& p) const {
  if constexpr (std::is_same_v<T, float>)
    return parameter(p);
  else
    return p.size == 0 ? nullptr : narrow_parameters_.data() + p.offset;
}

template <class T>
std::int64_t DecoderPass<T>::head_columns() const {
  return std::is_same_v<T, float> ? body().vocabulary : round_up(body().vocabulary, kLogitColumns);
}

template <class T>
std::int64_t DecoderPass<T>::chunk_rows() const {
  return std::min(kChunkRows, capacity_);
}

// ---- Memory: all of it in one piece, for as many tokens as the largest batch had. ----

template <class T>
void DecoderPass<T>::plan(std::int64_t rows, bool keep) {
  if (rows <= capacity_ && (kept_capacity_ || !keep)) return;
  capacity_ = std::max(rows, capacity_);
  kept_capacity_ = kept_capacity_ || keep;
  arena_ = {};
  const TransformerShape& s = body();
  layers_.assign(std::size_t(kept_capacity_ && !recompute_ ? s.layers : 1), {});
  for (Layer& layer : layers_) plan_layer(layer);
  inputs_.assign(std::size_t(kept_capacity_ ? s.layers : 2), {});
  for (Place<float>& x : inputs_) x = place<float>(s.width);
  last_x_ = place<float>(s.width);
  for (Place<float>* one : {&last_mean_, &last_rstd_, &losses_}) *one = place<float>(1);
  last_h_ = place<T>(s.width);
  product_ = place<T>(s.width);
  logits_ = arena_.plan<T>(chunk_rows() * round_up(s.vocabulary, kLogitColumns));
  if (kept_capacity_) {
    for (Residual* r : {&d_out_, &d_middle_}) {
      r->wide = place<float>(s.width);
      if (!std::is_same_v<T, float>) r->narrow = place<T>(s.width);
    }
    deltas_ = place<float>(s.heads);
    d_h_ = place<T>(s.width);
    d_u_ = place<T>(s.feed_forward);
    d_context_ = place<T>(s.context_width());
    d_qkv_ = place<T>(s.qkv_width());
    partials_ = arena_.plan<float>(slabs_of(capacity_) *
                                   std::max({3 * s.width, s.feed_forward, s.qkv_width()}));
  }
  arena_.allocate();
  host_losses_.grow(capacity_);
}

template <class T>
void DecoderPass<T>::plan_layer(Layer& l) {
  const TransformerShape& s = body();
  l.h1 = place<T>(s.width);
  l.qkv = place<T>(s.qkv_width());
  l.context = place<T>(s.context_width());
  l.log_sums = place<float>(s.heads);
  l.middle = place<float>(s.width);
  l.h2 = place<T>(s.width);
  l.u = place<T>((gated() ? 2 : 1) * s.feed_forward);
  l.g = place<T>(s.feed_forward);
  for (Place<float>* one : {&l.mean1, &l.rstd1, &l.mean2, &l.rstd2}) *one = place<float>(1);
}

template <class T>
MatrixView<const T> DecoderPass<T>::compute(const Residual& residual) {
  if constexpr (std::is_same_v<T, float>)
    return view(residual.wide);
  else
    return view(residual.narrow);
}

template <class T>
MatrixView<T> DecoderPass<T>::narrow(const Residual& residual) {
  if constexpr (std::is_same_v<T, float>)
    return {};
  else
    return view(residual.narrow);
}

// ---- Products with weight matrices. ----

template <class T>
const NormPlaces& DecoderPass<T>::norm_after(std::int64_t layer) const {
  return layer + 1 < body().layers ? places_.layers[std::size_t(layer + 1)].norm1
                                   : places_.final_norm;
}

template <class T>
LinearPlaces DecoderPass<T>::first_matrix(const LayerPlaces& layer) const {
  LinearPlaces both = layer.ff1;
  // The second stands right behind the first, as widths are multiples of 8 and parameters of 64.
  if (gated()) both.outputs += layer.up.outputs;
  return both;
}

template <class T>
void DecoderPass<T>::multiply(MatrixView<const T> x, const LinearPlaces& linear,
                              const ParameterPlace& bias, MatrixView<T> y) {
  products_.run({.m = x.rows,
                 .n = linear.outputs,
                 .k = linear.inputs,
                 .a_stride = x.stride,
                 .b_stride = linear.inputs,
                 .c_stride = y.stride,
                 .b_transposed = true,
                 .in = dtype_of<T>,
                 .out = dtype_of<T>,
                 .bias = bias.size > 0},
                x.data, weights(linear.weight), y.data, weights(bias), stream_);
}

template <class T>
void DecoderPass<T>::multiply_back(MatrixView<const T> d_y, const LinearPlaces& linear,
                                   MatrixView<T> d_x) {
  products_.run({.m = d_y.rows,
                 .n = linear.inputs,
                 .k = linear.outputs,
                 .a_stride = d_y.stride,
                 .b_stride = linear.inputs,
                 .c_stride = d_x.stride,
                 .in = dtype_of<T>,
                 .out = dtype_of<T>},
                d_y.data, weights(linear.weight), d_x.data, nullptr, stream_);
}

template <class T>
void DecoderPass<T>::add_weight_gradient(MatrixView<const T> d_y, MatrixView<const T> x,
                                         const LinearPlaces& linear, float* gradients) {
  products_.run({.m = linear.outputs,
                 .n = linear.inputs,
                 .k = x.rows,
                 .a_stride = d_y.stride,
                 .b_stride = x.stride,
                 .c_stride = linear.inputs,
                 .a_transposed = true,
                 .in = dtype_of<T>,
                 .out = DType::f32,
                 .accumulate = true},
                d_y.data, x.data, gradients + linear.weight.offset, nullptr, stream_);
}

// ---- Forward. ----

template <class T>
void DecoderPass<T>::start(const TokenBatch& batch, bool keep) {
  plan(std::ssize(batch.tokens), keep);
  rows_ = std::ssize(batch.tokens);
  keep_ = keep;
  host_positions_.clear();
  for (std::int64_t s = 0; s < batch.size(); ++s)
    for (std::int32_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t)
      host_positions_.push_back(t - batch.offsets[s]);
  tokens_.put(batch.tokens, stream_);
  positions_.put(host_positions_, stream_);
  attention_.prepare(batch.offsets, stream_);
}

template <class T>
void DecoderPass<T>::add_and_norm(const Place<float>& base, const Place<T>* added,
                                  const float* bias, const NormPlaces& norm_places,
                                  const Place<float>& sum, const Place<T>& out,
                                  const Place<float>& mean, const Place<float>& rstd) {
  NormForward<T> n{.base = view(base),
                   .weights = norm(norm_places),
                   .out = view(out),
                   .statistics = {data(mean), data(rstd)}};
  if (added != nullptr) {
    n.added = view(*added);
    n.added_bias = bias;
    n.sum = view(sum);
  }
  layer_norm(n, stream_);
}

// From a layer's normed input, h1, to the sum behind its attention and the norm of that.
template <class T>
void DecoderPass<T>::attend(std::int64_t index) {
  Layer& l = layer(index);
  const LayerPlaces& p = places_.layers[std::size_t(index)];
  multiply(view(l.h1), p.qkv, p.qkv.bias, view(l.qkv));
  if (rope_)
    rope_->turn(view(l.qkv), body().heads + body().kv_heads, positions_.data(), false, stream_);
  attention_.forward<T>(view(l.qkv), view(l.context), data(l.log_sums), stream_);
  multiply(view(l.context), p.out, {}, view(product_));
  add_and_norm(input(index), &product_, parameter(p.out.bias), p.norm2, l.middle, l.h2, l.mean2,
               l.rstd2);
}

// From h2 to g.
template <class T>
void DecoderPass<T>::feed_forward(std::int64_t index) {
  Layer& l = layer(index);
  const LayerPlaces& p = places_.layers[std::size_t(index)];
  multiply(view(l.h2), first_matrix(p), {}, view(l.u));
  const MatrixView<T> u = view(l.u);
  const std::int64_t size = body().feed_forward;
  if (gated())
    swiglu<T>({u.data, rows_, size, u.stride}, {u.data + size, rows_, size, u.stride}, view(l.g),
              stream_);
  else
    bias_gelu<T>(u, parameter(p.ff1.bias), view(l.g), stream_);
}

template <class T>
void DecoderPass<T>::run(const TokenBatch& batch, bool keep) {
  start(batch, keep);
  const TransformerShape& s = body();
  const std::int64_t places = s.learned_positions ? s.max_tokens : 0;
  embed({parameter(places_.token), s.vocabulary, s.width}, tokens_.data(),
        {parameter(places_.position), places, s.width}, positions_.data(), view(input(0)), stream_);
  add_and_norm(input(0), nullptr, nullptr, places_.layers[0].norm1, {}, layer(0).h1, layer(0).mean1,
               layer(0).rstd1);
  for (std::int64_t index = 0; index < s.layers; ++index) {
    attend(index);
    feed_forward(index);
    Layer& l = layer(index);
    const LinearPlaces& ff2 = places_.layers[std::size_t(index)].ff2;
    multiply(view(l.g), ff2, {}, view(product_));
    const bool last = index + 1 == s.layers;
    Layer& next = layer(last ? index : index + 1);
    add_and_norm(l.middle, &product_, parameter(ff2.bias), norm_after(index),
                 last ? last_x_ : input(index + 1), last ? last_h_ : next.h1,
                 last ? last_mean_ : next.mean1, last ? last_rstd_ : next.rstd1);
  }
}

template <class T>
void DecoderPass<T>::forward(const TokenBatch& batch, const Dropout& mask) {
  require(mask.rate == 0, "decoder: a GPU drops nothing");
  run(batch, true);
  // The host's work for the end of the backward pass, while the device is at this one.
  token_plan_.make(batch.tokens, stream_);
  if (body().learned_positions) position_plan_.make(host_positions_, stream_);
}

// A layer's activations once more, from its input.
template <class T>
void DecoderPass<T>::recompute_layer(std::int64_t index) {
  Layer& l = layer(index);
  add_and_norm(input(index), nullptr, nullptr, places_.layers[std::size_t(index)].norm1, {}, l.h1,
               l.mean1, l.rstd1);
  attend(index);
  feed_forward(index);
}

// ---- The head, a chunk of rows at a time. ----

template <class T>
void DecoderPass<T>::head_logits(std::int64_t first, std::int64_t rows) {
  const MatrixView<T> h = view(last_h_).row_range(first, rows);
  products_.run({.m = rows,
                 .n = head_columns(),
                 .k = body().width,
                 .a_stride = h.stride,
                 .b_stride = body().width,
                 .c_stride = round_up(body().vocabulary, kLogitColumns),
                 .b_transposed = true,
                 .in = dtype_of<T>,
                 .out = dtype_of<T>},
                h.data, weights(head_), arena_.at<T>(logits_), nullptr, stream_);
}

// With gradients, also that of the hidden states, in d_h_, and of the head's matrix.
template <class T>
void DecoderPass<T>::head_losses(std::span<const std::int32_t> targets,
                                 const CrossEntropyOptions& options, float* gradients) {
  targets_.put(targets, stream_);
  const std::int64_t stride = round_up(body().vocabulary, kLogitColumns), width = body().width;
  T* logits = arena_.at<T>(logits_);
  for (std::int64_t first = 0; first < rows_; first += chunk_rows()) {
    const std::int64_t rows = std::min(chunk_rows(), rows_ - first);
    head_logits(first, rows);
    cross_entropy<T>({logits, rows, body().vocabulary, stride}, targets_.data() + first, options,
                     gradients != nullptr, data(losses_) + first, stream_);
    if (gradients == nullptr) continue;
    products_.run({.m = rows,
                   .n = width,
                   .k = head_columns(),
                   .a_stride = stride,
                   .b_stride = width,
                   .c_stride = width,
                   .in = dtype_of<T>,
                   .out = dtype_of<T>},
                  logits, weights(head_), view(d_h_).row(first), nullptr, stream_);
    add_weight_gradient({logits, rows, body().vocabulary, stride},
                        view(last_h_).row_range(first, rows), {head_, {}, body().vocabulary, width},
                        gradients);
  }
}

template <class T>
void DecoderPass<T>::fetch_losses(std::span<float> losses) {
  copy(std::span<const float>(data(losses_), losses.size()),
       host_losses_.span().first(losses.size()), stream_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  std::copy_n(host_losses_.data(), losses.size(), losses.begin());
}

template <class T>
void DecoderPass<T>::losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
                            const CrossEntropyOptions& options, std::span<float> losses) {
  run(batch, false);
  head_losses(targets, options, nullptr);
  fetch_losses(losses);
}

template <class T>
void DecoderPass<T>::logits(const TokenBatch& batch, std::span<float> logits) {
  run(batch, false);
  const std::int64_t stride = round_up(body().vocabulary, kLogitColumns), cols = body().vocabulary;
  std::vector<T> chunk(std::size_t(chunk_rows() * stride));
  for (std::int64_t first = 0; first < rows_; first += chunk_rows()) {
    const std::int64_t rows = std::min(chunk_rows(), rows_ - first);
    head_logits(first, rows);
    copy(std::span<const T>(arena_.at<T>(logits_), std::size_t(rows * stride)),
         std::span(chunk).first(std::size_t(rows * stride)), stream_);
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c)
        logits[std::size_t((first + r) * cols + c)] = float(chunk[std::size_t(r * stride + c)]);
  }
}

// ---- Backward. ----

template <class T>
void DecoderPass<T>::add_vector_gradient(std::int64_t column, const ParameterPlace& to,
                                         float* gradients) {
  if (to.size == 0) return;
  add_partial_sums(
      {arena_.at<float>(partials_) + column, slabs_of(rows_), to.size, 3 * body().width},
      gradients + to.offset, stream_);
}

// The gradient of a norm's input, with what went around it; it is also that of the product in front
// of the norm, whose bias is `bias_before`.
template <class T>
void DecoderPass<T>::norm_backward(const Place<T>& d_out, const Place<float>& x,
                                   const Place<float>& mean, const Place<float>& rstd,
                                   const NormPlaces& places, const Residual* skip,
                                   const Residual& d_x, const ParameterPlace& bias_before,
                                   float* gradients) {
  const std::int64_t width = body().width;
  NormBackward<T> n{.d_out = view(d_out),
                    .x = view(x),
                    .statistics = {data(mean), data(rstd)},
                    .gain = parameter(places.gain),
                    .d_x = view(d_x.wide),
                    .d_x_narrow = narrow(d_x),
                    .partials = {arena_.at<float>(partials_), slabs_of(rows_), 3 * width},
                    .kind = body().norm};
  if (skip != nullptr) n.d_skip = view(skip->wide);
  layer_norm_backward(n, stream_);
  add_vector_gradient(0, places.gain, gradients);
  add_vector_gradient(width, places.bias, gradients);
  add_vector_gradient(2 * width, bias_before, gradients);
}

// From the gradient of a layer's output, d_out_, to that of the sum between its parts, d_middle_.
template <class T>
void DecoderPass<T>::feed_forward_back(std::int64_t index, float* gradients) {
  Layer& l = layer(index);
  const LayerPlaces& p = places_.layers[std::size_t(index)];
  const std::int64_t size = body().feed_forward;
  multiply_back(compute(d_out_), p.ff2, view(d_u_));
  add_weight_gradient(compute(d_out_), view(l.g), p.ff2, gradients);
  const MatrixView<T> u = view(l.u);
  if (gated()) {
    const MatrixView<T> gate{u.data, rows_, size, u.stride},
        up{u.data + size, rows_, size, u.stride};
    swiglu_backward<T>(view(d_u_), gate, up, gate, up, stream_);
  } else {
    const MatrixView<float> partials{arena_.at<float>(partials_), slabs_of(rows_), size};
    bias_gelu_backward<T>(view(d_u_), u, parameter(p.ff1.bias), u, partials, stream_);
    add_partial_sums(partials, gradients + p.ff1.bias.offset, stream_);
  }
  multiply_back(u, first_matrix(p), view(d_h_));
  add_weight_gradient(u, view(l.h2), first_matrix(p), gradients);
  norm_backward(d_h_, l.middle, l.mean2, l.rstd2, p.norm2, &d_out_, d_middle_, p.out.bias,
                gradients);
}

// On to the gradient of the layer's input, d_out_ again.
template <class T>
void DecoderPass<T>::attend_back(std::int64_t index, float* gradients) {
  Layer& l = layer(index);
  const LayerPlaces& p = places_.layers[std::size_t(index)];
  multiply_back(compute(d_middle_), p.out, view(d_context_));
  add_weight_gradient(compute(d_middle_), view(l.context), p.out, gradients);
  attention_.backward<T>(view(l.qkv), view(l.context), data(l.log_sums), view(d_context_),
                         data(deltas_), view(d_qkv_), stream_);
  if (rope_)
    rope_->turn(view(d_qkv_), body().heads + body().kv_heads, positions_.data(), true, stream_);
  if (p.qkv.bias.size > 0)
    add_column_sums<T>(view(d_qkv_),
                       {arena_.at<float>(partials_), slabs_of(rows_), body().qkv_width()},
                       gradients + p.qkv.bias.offset, stream_);
  multiply_back(view(d_qkv_), p.qkv, view(d_h_));
  add_weight_gradient(view(d_qkv_), view(l.h1), p.qkv, gradients);
  const ParameterPlace before =
      index > 0 ? places_.layers[std::size_t(index - 1)].ff2.bias : ParameterPlace{};
  norm_backward(d_h_, input(index), l.mean1, l.rstd1, p.norm1, &d_middle_, d_out_, before,
                gradients);
}

template <class T>
void DecoderPass<T>::add_embedding_gradients(float* gradients) {
  const auto rows_of = [&](const ParameterPlace& table) {
    return MatrixView<float>(gradients + table.offset, table.size / body().width, body().width);
  };
  token_plan_.add(view(d_out_.wide), rows_of(places_.token), stream_);
  if (body().learned_positions)
    position_plan_.add(view(d_out_.wide), rows_of(places_.position), stream_);
}

template <class T>
void DecoderPass<T>::backward(const TokenBatch&, std::span<const std::int32_t> targets,
                              const CrossEntropyOptions& options, std::span<float> losses,
                              std::span<float> gradients, const FinalGradients& on_final) {
  const auto final_from = [&](const ParameterPlace& first) {
    if (on_final) on_final(first.offset);
  };
  float* to = gradients.data();
  head_losses(targets, options, to);
  norm_backward(d_h_, last_x_, last_mean_, last_rstd_, places_.final_norm, nullptr, d_out_,
                places_.layers.back().ff2.bias, to);
  for (std::int64_t index = body().layers - 1; index >= 0; --index) {
    if (recompute_) recompute_layer(index);
    feed_forward_back(index, to);
    attend_back(index, to);
    if (index > 0) final_from(places_.layers[std::size_t(index)].norm1.gain);
  }
  add_embedding_gradients(to);
  final_from(places_.token);
  fetch_losses(losses);
}

template class DecoderPass<float>;
template class DecoderPass<bf16>;

}  // namespace tutti::cuda
