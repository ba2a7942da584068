#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/model/encoder_pass.h"
#include "kernels/ops/gelu.h"
#include "kernels/ops/pool.h"

namespace tutti {
namespace {

// Wider models need more rows for each time that their weights come by, and have more work a row.
std::int64_t panel_rows(const EncoderShape& shape) {
  if (shape.width <= 256) return kRowPanel;
  return shape.width <= 512 ? 2 * kRowPanel : 4 * kRowPanel;
}

}  // namespace

template <class T>
Encoder::TypedPass<T>::TypedPass(const EncoderShape& shape, ProductBackend backend)
    : Pass(shape, dtype_of<T>),
      panel_rows_(panel_rows(shape)),
      qkv_gradient_(weight_shape(parameters_.layers[0].qkv), backend),
      out_gradient_(weight_shape(parameters_.layers[0].out), backend),
      ff1_gradient_(weight_shape(parameters_.layers[0].ff1), backend),
      ff2_gradient_(weight_shape(parameters_.layers[0].ff2), backend),
      attention_({shape.heads, shape.width / shape.heads, Activation<T>::stride_of(3 * shape.width),
                  Activation<T>::stride_of(shape.width)},
                 backend),
      scratch_(kSlots),
      last_x_(shape.width),
      last_h_(shape.width),
      d_out_(shape.width),
      d_middle_(shape.width),
      d_in_(shape.width),
      d_context_(shape.width),
      d_qkv_(3 * shape.width),
      partials_(9 * shape.width + shape.feed_forward) {
  for (const EncoderLayer& l : parameters_.layers) {
    packed_.push_back({make_linear(l.qkv, true, backend), make_linear(l.out, true, backend),
                       make_linear(l.ff1, true, backend), make_linear(l.ff2, false, backend)});
    layers_.push_back(std::make_unique<Layer>(shape));
  }
}

template <class T>
Linear Encoder::TypedPass<T>::make_linear(const EncoderLinear& linear, bool cut_outputs,
                                          ProductBackend backend) const {
  return Linear(
      {panel_rows_, linear.outputs, linear.inputs, cut_outputs, dtype_of<T>,
       Activation<T>::stride_of(linear.inputs), Activation<float>::stride_of(linear.outputs),
       Activation<T>::stride_of(linear.outputs), Activation<float>::stride_of(linear.inputs)},
      backend);
}

template <class T>
WeightGradientShape Encoder::TypedPass<T>::weight_shape(const EncoderLinear& linear) const {
  return {linear.outputs, linear.inputs, Activation<T>::stride_of(linear.outputs),
          Activation<T>::stride_of(linear.inputs), dtype_of<T>};
}

template <class T>
void Encoder::TypedPass<T>::load() {
  struct Task {
    Linear* linear;
    std::int64_t part;
    const float* weights;
  };
  std::vector<Task> tasks;
  const auto add = [&](Linear& linear, const EncoderLinear& from) {
    for (std::int64_t part = 0; part < linear.pack_tasks(); ++part)
      tasks.push_back({&linear, part, parameter(from.weight)});
  };
  for (std::int64_t index = 0; index < shape_.layers; ++index) {
    const EncoderLayer& l = parameters_.layers[index];
    PackedLayer& packed = packed_[index];
    add(packed.qkv, l.qkv);
    add(packed.out, l.out);
    add(packed.ff1, l.ff1);
    add(packed.ff2, l.ff2);
  }
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    tasks[i].linear->pack(tasks[i].part, tasks[i].weights);
  });
}

// The layer norm that follows layer `layer` in the residual stream.
template <class T>
const EncoderNorm& Encoder::TypedPass<T>::norm_after(std::int64_t layer) const {
  return layer + 1 < shape_.layers ? parameters_.layers[layer + 1].norm1 : parameters_.final_norm;
}

template <class T>
MatrixView<T> Encoder::TypedPass<T>::kept_or_scratch(Activation<T>& kept, std::int64_t panel,
                                                     Slot slot, std::int64_t cols) {
  return keep_ ? panel_of(kept, panel) : scratch_panel<T>(slot, cols);
}

// Where a product leaves floats that end up in `target`: there, if it holds floats, else in
// scratch.
template <class T>
MatrixView<float> Encoder::TypedPass<T>::float_target(MatrixView<T> target, Slot slot) {
  if constexpr (std::is_same_v<T, float>)
    return target;
  else
    return scratch_panel<float>(slot, target.cols);
}

template <class T>
void Encoder::TypedPass<T>::grow_layer(Layer& layer, bool whole) {
  layer.x.grow(rows_);
  layer.qkv.grow(rows_ + kAttentionStep);
  layer.context.grow(rows_);
  layer.norm1.grow(rows_);
  layer.norm2.grow(rows_);
  if (!whole) return;
  for (Activation<T>* a : {&layer.h1, &layer.h2, &layer.u, &layer.g}) a->grow(rows_);
  layer.middle.grow(rows_);
  layer.probabilities.grow(probability_offsets_.back());
}

// Where each (sequence, head) keeps its P.
template <class T>
void Encoder::TypedPass<T>::place_probabilities(const TokenBatch& batch) {
  probability_offsets_.assign(1, 0);
  for (std::int64_t s = 0; s < batch.size(); ++s) {
    const std::int64_t length = batch.offsets[s + 1] - batch.offsets[s];
    for (std::int64_t head = 0; head < shape_.heads; ++head)
      probability_offsets_.push_back(probability_offsets_.back() +
                                     Attention<T>::probability_size(length));
  }
}

template <class T>
void Encoder::TypedPass<T>::start(const TokenBatch& batch, bool keep) {
  keep_ = keep;
  tokens_ = static_cast<std::int64_t>(batch.tokens.size());
  panels_ = (tokens_ + panel_rows_ - 1) / panel_rows_;
  rows_ = panels_ * panel_rows_;
  positions_.resize(tokens_);
  for (std::int64_t s = 0; s < batch.size(); ++s)
    for (std::int32_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t)
      positions_[t] = t - batch.offsets[s];
  place_probabilities(batch);
  for (std::int64_t l = 0; l < (keep ? shape_.layers : 1); ++l) grow_layer(*layers_[l], keep);
  last_x_.grow(rows_);
  last_h_.grow(rows_);
  last_norm_.grow(rows_);
  attention_.prepare(batch.offsets, keep);
  scratch_.prepare();
}

// Rows behind the last token are zero wherever the passes create rows, here and in attention: so
// they stay finite, and their gradients are zero.
template <class T>
void Encoder::TypedPass<T>::embed_rows(const TokenBatch& batch, std::int64_t panel) {
  const MatrixView<float> x = panel_of(layer(0).x, panel);
  const float* tokens = parameter(parameters_.token);
  const float* positions = parameter(parameters_.position);
  for (std::int64_t r = 0; r < panel_rows_; ++r) {
    const std::int64_t t = panel * panel_rows_ + r;
    if (t >= tokens_) {
      std::fill_n(x.row(r), x.cols, 0.0f);
      continue;
    }
    const float* token = tokens + batch.tokens[t] * x.cols;
    const float* position = positions + positions_[t] * x.cols;
    for (std::int64_t c = 0; c < x.cols; ++c) x(r, c) = token[c] + position[c];
  }
}

template <class T>
void Encoder::TypedPass<T>::first_norm(std::int64_t panel) {
  Layer& l = layer(0);
  const MatrixView<T> h = kept_or_scratch(l.h1, panel, kH1, shape_.width);
  layer_norm<T>(panel_of(l.x, panel), norm(parameters_.layers[0].norm1), h,
                l.norm1.at(panel * panel_rows_));
  project_qkv(0, panel, h);
}

template <class T>
void Encoder::TypedPass<T>::project_qkv(std::int64_t index, std::int64_t panel,
                                        MatrixView<const T> h) {
  const Linear& linear = packed_[index].qkv;
  const MatrixView<T> qkv = panel_of(layer(index).qkv, panel);
  const MatrixView<float> product = float_target(qkv, kWide);
  linear.forward(h.data, product.data, product_scratch(linear));
  add_bias<T>(product, parameter(parameters_.layers[index].qkv.bias), qkv);
}

template <class T>
void Encoder::TypedPass<T>::attend(std::int64_t index, const TokenBatch& batch) {
  Layer& l = layer(index);
  const MatrixView<T> behind = l.context.rows(tokens_, rows_ - tokens_);
  for (std::int64_t r = 0; r < behind.rows; ++r) std::fill_n(behind.row(r), behind.cols, T(0.0f));
  parallel_for_dynamic(batch.size() * shape_.heads, [&](std::int64_t i) {
    const std::int64_t s = i / shape_.heads, first = batch.offsets[s];
    T* p = keep_ ? l.probabilities.data() + probability_offsets_[i] : nullptr;
    attention_.forward(l.qkv.row(first), batch.offsets[s + 1] - first, i % shape_.heads, p,
                       l.context.row(first));
  });
}

// gelu(h W1^T + b1) W2^T -> out, over blocks of the inner dimension whose weights and activations
// stay in cache.
template <class T>
void Encoder::TypedPass<T>::feed_forward(std::int64_t index, std::int64_t panel,
                                         MatrixView<const T> h, MatrixView<float> out) {
  Layer& l = layer(index);
  const Linear &ff1 = packed_[index].ff1, &ff2 = packed_[index].ff2;
  const float* bias = parameter(parameters_.layers[index].ff1.bias);
  const MatrixView<T> u = kept_or_scratch(l.u, panel, kU, shape_.feed_forward);
  const MatrixView<T> g = kept_or_scratch(l.g, panel, kG, shape_.feed_forward);
  const MatrixView<float> before = float_target(u, kWide2);
  const std::int64_t size = ff1.block_size();
  for (std::int64_t block = 0; block < ff1.blocks(); ++block) {
    ff1.forward_block(block, h.data, before.data, product_scratch(ff1));
    bias_gelu<T>(block_of<float>(before, block, size), bias + block * size,
                 block_of(u, block, size), block_of(g, block, size));
    ff2.forward_block(block, g.data, out.data, product_scratch(ff2));
  }
}

// From the attention's output to the next layer's queries, keys and values, all in cache.
template <class T>
void Encoder::TypedPass<T>::finish_layer(std::int64_t index, std::int64_t panel) {
  Layer& l = layer(index);
  const EncoderLayer& p = parameters_.layers[index];
  const Linear& out = packed_[index].out;
  const std::int64_t row = panel * panel_rows_;

  const MatrixView<float> product = scratch_panel<float>(kWide, shape_.width);
  out.forward(panel_of(l.context, panel).data, product.data, product_scratch(out));
  const MatrixView<float> x = panel_of(l.x, panel);
  const MatrixView<float> middle = keep_ ? panel_of(l.middle, panel) : x;
  const MatrixView<T> h2 = kept_or_scratch(l.h2, panel, kH2, shape_.width);
  residual_layer_norm<T>(x, product, parameter(p.out.bias), norm(p.norm2), middle, h2,
                         l.norm2.at(row));
  feed_forward(index, panel, h2, product);

  if (index + 1 == shape_.layers) {
    residual_layer_norm<float>(middle, product, parameter(p.ff2.bias), norm(norm_after(index)),
                               panel_of(last_x_, panel), panel_of(last_h_, panel),
                               last_norm_.at(row));
    return;
  }
  Layer& next = layer(index + 1);
  const MatrixView<T> h1 = kept_or_scratch(next.h1, panel, kH1, shape_.width);
  residual_layer_norm<T>(middle, product, parameter(p.ff2.bias), norm(norm_after(index)),
                         panel_of(next.x, panel), h1, next.norm1.at(row));
  project_qkv(index + 1, panel, h1);
}

template <class T>
void Encoder::TypedPass<T>::pool(const TokenBatch& batch, std::span<float> embeddings) {
  norms_.resize(batch.size());
  parallel_for(batch.size(), [&](std::int64_t s) {
    const std::int64_t first = batch.offsets[s];
    norms_[s] = mean_pool(last_h_.rows(first, batch.offsets[s + 1] - first),
                          embeddings.data() + s * shape_.width);
  });
  if (keep_) embeddings_.assign(embeddings.begin(), embeddings.end());
}

template <class T>
void Encoder::TypedPass<T>::forward(const TokenBatch& batch, std::span<float> embeddings,
                                    bool keep) {
  start(batch, keep);
  parallel_for_dynamic(panels_, [&](std::int64_t panel) {
    embed_rows(batch, panel);
    first_norm(panel);
  });
  for (std::int64_t index = 0; index < shape_.layers; ++index) {
    attend(index, batch);
    parallel_for_dynamic(panels_, [&](std::int64_t panel) { finish_layer(index, panel); });
  }
  pool(batch, embeddings);
}

template class Encoder::TypedPass<float>;
template class Encoder::TypedPass<bf16>;

}  // namespace tutti
