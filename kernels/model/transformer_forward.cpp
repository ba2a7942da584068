#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/model/transformer_pass.h"

namespace tutti {
namespace {

// Wider models need more rows for each time that their weights come by, and have more work a row.
std::int64_t rows_of_panels(const TransformerShape& shape) {
  if (shape.width <= 256) return kRowPanel;
  return shape.width <= 512 ? 2 * kRowPanel : 4 * kRowPanel;
}

}  // namespace

template <class T>
TransformerPass<T>::TransformerPass(const TransformerShape& shape, const TransformerPlaces& places,
                                    ProductBackend backend, const Adapters* adapters)
    : shape_(shape),
      places_(places),
      adapters_(adapters),
      panel_rows_(rows_of_panels(shape)),
      columns_(shape),
      qkv_gradient_(weight_shape(places.layers[0].qkv), backend),
      out_gradient_(weight_shape(places.layers[0].out), backend),
      ff1_gradient_(weight_shape(places.layers[0].ff1), backend),
      ff2_gradient_(weight_shape(places.layers[0].ff2), backend),
      scratch_(kSlots),
      normed_(shape.width),
      last_x_(shape.width),
      last_h_(shape.width),
      d_out_(shape.width),
      d_middle_(shape.width),
      d_in_(shape.width),
      d_context_(shape.context_width()),
      d_qkv_(shape.qkv_width()),
      partials_(columns_.total) {
  const std::int64_t qkv_stride = Activation<T>::stride_of(shape.qkv_width()),
                     out_stride = Activation<T>::stride_of(shape.context_width());
  if (causal())
    causal_ = std::make_unique<CausalAttention<T>>(
        CausalAttentionShape{shape.heads, shape.kv_heads, shape.head_size, shape.window, qkv_stride,
                             out_stride, Activation<float>::stride_of(shape.heads)},
        backend);
  else
    bidirectional_ = std::make_unique<Attention<T>>(
        AttentionShape{shape.heads, shape.head_size, qkv_stride, out_stride}, backend);
  if (!shape.learned_positions) rope_ = RopeTable(shape.rope, shape.head_size, shape.max_tokens);
  for (const LayerPlaces& l : places.layers) {
    if (!frozen() || packed_.empty()) packed_.push_back(make_layer(l, backend));
    layers_.push_back(std::make_unique<Layer>(shape));
  }
  if (frozen()) make_adapters(backend);
}

template <class T>
LinearShape TransformerPass<T>::linear_shape(const LinearPlaces& linear) const {
  return {.rows = panel_rows_,
          .outputs = linear.outputs,
          .inputs = linear.inputs,
          .in = dtype_of<T>,
          .x_stride = Activation<T>::stride_of(linear.inputs),
          .y_stride = Activation<float>::stride_of(linear.outputs),
          .dy_stride = Activation<T>::stride_of(linear.outputs),
          .dx_stride = Activation<float>::stride_of(linear.inputs),
          .weights_stay = frozen() && dtype_of<T> == DType::bf16};
}

template <class T>
typename TransformerPass<T>::PackedLayer TransformerPass<T>::make_layer(
    const LayerPlaces& layer, ProductBackend backend) const {
  // One block of the inner dimension at a time is in floats.
  LinearShape ff1 = linear_shape(layer.ff1), ff2 = linear_shape(layer.ff2);
  ff1.y_stride = ff2.dx_stride = inner_stride();
  ff2.cut_outputs = false;
  PackedLayer packed{Linear(linear_shape(layer.qkv), backend),
                     Linear(linear_shape(layer.out), backend), Linear(ff1, backend),
                     Linear(ff2, backend), std::nullopt};
  if (!gated()) return packed;
  LinearShape up = ff1;
  up.dx_adds = true;  // on top of the gate's
  packed.up.emplace(up, backend);
  return packed;
}

template <class T>
WeightGradientShape TransformerPass<T>::weight_shape(const LinearPlaces& linear) const {
  return {linear.outputs, linear.inputs, Activation<T>::stride_of(linear.outputs),
          Activation<T>::stride_of(linear.inputs), dtype_of<T>};
}

template <class T>
void TransformerPass<T>::load(const float* arena) {
  arena_ = arena;
  struct Task {
    Linear* linear;
    std::int64_t part;
    const float* weights;
  };
  std::vector<Task> tasks;
  const auto add = [&](Linear& linear, const LinearPlaces& from) {
    for (std::int64_t part = 0; part < linear.pack_tasks(); ++part)
      tasks.push_back({&linear, part, parameter(from.weight)});
  };
  for (std::int64_t index = 0; index < shape_.layers; ++index) {
    const LayerPlaces& l = places_.layers[index];
    PackedLayer& packed = packed_[index];
    add(packed.qkv, l.qkv);
    add(packed.out, l.out);
    add(packed.ff1, l.ff1);
    if (packed.up) add(*packed.up, l.up);
    add(packed.ff2, l.ff2);
  }
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    tasks[i].linear->pack(tasks[i].part, tasks[i].weights);
  });
}

// The layer norm that follows layer `layer` in the residual stream.
template <class T>
const NormPlaces& TransformerPass<T>::norm_after(std::int64_t layer) const {
  return layer + 1 < shape_.layers ? places_.layers[layer + 1].norm1 : places_.final_norm;
}

template <class T>
MatrixView<T> TransformerPass<T>::kept_or_scratch(Activation<T>& kept, std::int64_t panel,
                                                  Slot slot, std::int64_t cols) {
  return keep_inputs_ ? panel_of(kept, panel) : scratch_panel<T>(slot, cols);
}

// Where a product leaves floats that end up in `target`: there, if it holds floats, else in
// scratch.
template <class T>
MatrixView<float> TransformerPass<T>::float_target(MatrixView<T> target, Slot slot) {
  if constexpr (std::is_same_v<T, float>)
    return target;
  else
    return scratch_panel<float>(slot, target.cols);
}

template <class T>
void TransformerPass<T>::grow_layer(Layer& layer, bool whole) {
  layer.qkv.grow(rows_ + kAttentionStep);
  layer.context.grow(rows_ + kAttentionStep);
  if (causal()) layer.log_sums.grow(rows_);
  layer.norm1.grow(rows_);
  layer.norm2.grow(rows_);
  for (Activation<T>& low : layer.low) low.grow(rows_);
  if (!whole) return;
  for (Activation<T>* a : {&layer.h1, &layer.h2, &layer.u, &layer.g}) a->grow(rows_);
  if (gated()) layer.v.grow(rows_);
  layer.middle.grow(rows_);
  if (!causal()) layer.probabilities.grow(probability_offsets_.back());
}

// Where each (sequence, head) keeps its P.
template <class T>
void TransformerPass<T>::place_probabilities(const TokenBatch& batch) {
  probability_offsets_.assign(1, 0);
  for (std::int64_t s = 0; s < batch.size(); ++s) {
    const std::int64_t length = batch.offsets[s + 1] - batch.offsets[s];
    for (std::int64_t head = 0; head < shape_.heads; ++head)
      probability_offsets_.push_back(probability_offsets_.back() +
                                     Attention<T>::probability_size(length));
  }
}

template <class T>
void TransformerPass<T>::start(const TokenBatch& batch, bool keep, const AttentionHook<T>* hook) {
  keep_ = keep && !recompute_;
  keep_inputs_ = keep;
  tokens_ = static_cast<std::int64_t>(batch.tokens.size());
  panels_ = (tokens_ + panel_rows_ - 1) / panel_rows_;
  rows_ = panels_ * panel_rows_;
  positions_.assign(rows_, 0);
  for (std::int64_t s = 0; s < batch.size(); ++s)
    for (std::int32_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t)
      positions_[t] = t - batch.offsets[s];
  if (hook != nullptr && hook->positions() != nullptr)
    std::copy_n(hook->positions(), tokens_, positions_.begin());
  if (!causal()) place_probabilities(batch);
  for (std::int64_t l = 0; l < (keep_inputs_ ? shape_.layers : 1); ++l) layers_[l]->x.grow(rows_);
  for (std::int64_t l = 0; l < (keep_ ? shape_.layers : 1); ++l) grow_layer(*layers_[l], keep);
  if (norms_after()) normed_.grow(rows_);
  last_x_.grow(rows_);
  last_h_.grow(rows_);
  last_norm_.grow(rows_);
  if (causal())
    causal_->prepare(batch.offsets, keep);
  else
    bidirectional_->prepare(batch.offsets, keep);
  scratch_.prepare();
}

// Rows behind the last token are zero wherever the passes create rows, here and in attention: so
// they stay finite, and their gradients are zero.
template <class T>
void TransformerPass<T>::embed_rows(const TokenBatch& batch, std::int64_t panel) {
  const MatrixView<float> x = input_panel(0, panel);
  if (frozen()) return embed_frozen_rows(batch, panel);
  const float* tokens = parameter(places_.token);
  const float* positions = parameter(places_.position);
  const float* type = parameter(places_.type);
  for (std::int64_t r = 0; r < panel_rows_; ++r) {
    const std::int64_t t = panel * panel_rows_ + r;
    if (t >= tokens_) {
      std::fill_n(x.row(r), x.cols, 0.0f);
      continue;
    }
    const float* token = tokens + batch.tokens[t] * x.cols;
    if (positions == nullptr) {
      std::copy_n(token, x.cols, x.row(r));
    } else {
      const float* position = positions + positions_[t] * x.cols;
      for (std::int64_t c = 0; c < x.cols; ++c) x(r, c) = token[c] + position[c];
    }
    if (type != nullptr)
      for (std::int64_t c = 0; c < x.cols; ++c) x(r, c) += type[c];
  }
}

template <class T>
void TransformerPass<T>::sum_and_norm(const Sum& sum, MatrixView<T> h) {
  if (!norms_after())
    return residual_layer_norm<T>(sum.base, sum.added, sum.added_bias, sum.norm, sum.x, h,
                                  sum.statistics);
  residual_layer_norm<float>(sum.base, sum.added, sum.added_bias, sum.norm, sum.x, sum.normed,
                             sum.statistics);
  add_bias<T>(sum.normed, nullptr, h);
}

template <class T>
void TransformerPass<T>::first_norm(std::int64_t index, std::int64_t panel) {
  Layer& l = layer(index);
  const MatrixView<float> x = input_panel(index, panel);
  const MatrixView<T> h = kept_or_scratch(l.h1, panel, kH1, shape_.width);
  const LayerNormWeights weights = norm(places_.layers[index].norm1);
  const LayerNormStatistics statistics = l.norm1.at(panel * panel_rows_);
  if (norms_after()) {
    const MatrixView<float> normed = panel_of(normed_, panel);
    layer_norm<float>(x, weights, normed, statistics);
    add_bias<T>(normed, nullptr, h);
  } else {
    layer_norm<T>(x, weights, h, statistics);
  }
  project_qkv(index, panel, h);
}

template <class T>
void TransformerPass<T>::project_qkv(std::int64_t index, std::int64_t panel,
                                     MatrixView<const T> h) {
  const Linear& linear = packed(index).qkv;
  const MatrixView<T> qkv = panel_of(layer(index).qkv, panel);
  const MatrixView<float> product = float_target(qkv, kWide);
  linear.forward(h.data, product.data, product_scratch(linear));
  add_low(index, Part::qkv, panel, h.data, product.data);
  add_bias<T>(product, parameter(places_.layers[index].qkv.bias), qkv);
  if (!shape_.learned_positions)  // queries and keys stand side by side
    rope_.rotate<T>(qkv, shape_.heads + shape_.kv_heads, positions_of(panel));
}

template <class T>
void TransformerPass<T>::attend(std::int64_t index, const TokenBatch& batch,
                                AttentionHook<T>* hook) {
  Layer& l = layer(index);
  const MatrixView<T> behind = l.context.rows(tokens_, rows_ - tokens_);
  for (std::int64_t r = 0; r < behind.rows; ++r) std::fill_n(behind.row(r), behind.cols, T(0.0f));
  if (hook != nullptr && hook->attend(index, l.qkv.rows(0, tokens_), l.context.rows(0, tokens_)))
    return;
  parallel_for_dynamic(batch.size() * shape_.kv_heads, [&](std::int64_t i) {
    const std::int64_t s = i / shape_.kv_heads, head = i % shape_.kv_heads,
                       first = batch.offsets[s], length = batch.offsets[s + 1] - first;
    if (causal()) {
      causal_->forward(l.qkv.row(first), length, head, l.context.row(first), l.log_sums.row(first));
      return;
    }
    T* p = keep_ ? l.probabilities.data() + probability_offsets_[i] : nullptr;
    bidirectional_->forward(l.qkv.row(first), length, head, p, l.context.row(first));
  });
}

// From the attention's output to the feed-forward part's input, h2. Returns what goes around it.
template <class T>
MatrixView<float> TransformerPass<T>::finish_attention(std::int64_t index, std::int64_t panel,
                                                       MatrixView<T> h2) {
  Layer& l = layer(index);
  const LayerPlaces& p = places_.layers[index];
  const Linear& out = packed(index).out;
  const MatrixView<float> product = scratch_panel<float>(kWide, shape_.width);
  const T* context = panel_of(l.context, panel).data;
  out.forward(context, product.data, product_scratch(out));
  add_low(index, Part::out, panel, context, product.data);
  const float* bias = drop_output(product, parameter(p.out.bias), attention_place(index), panel);
  const MatrixView<float> x = input_panel(index, panel);
  const MatrixView<float> middle = keep_inputs_ ? panel_of(l.middle, panel) : x;
  // What goes around the attention, and around the feed-forward part.
  const MatrixView<float> before = norms_after() ? panel_of(normed_, panel) : x;
  const MatrixView<float> between =
      norms_after() ? scratch_panel<float>(kNorm, shape_.width) : middle;
  sum_and_norm(
      {before, product, bias, norm(p.norm2), middle, l.norm2.at(panel * panel_rows_), between}, h2);
  return between;
}

// From the attention's output to the next layer's queries, keys and values, all in cache.
template <class T>
void TransformerPass<T>::finish_layer(std::int64_t index, std::int64_t panel) {
  const std::int64_t row = panel * panel_rows_;
  const MatrixView<T> h2 = kept_or_scratch(layer(index).h2, panel, kH2, shape_.width);
  const MatrixView<float> between = finish_attention(index, panel, h2);
  const MatrixView<float> product = scratch_panel<float>(kWide, shape_.width);
  run_feed_forward(index, panel, h2, product);
  const float* bias = drop_output(product, parameter(places_.layers[index].ff2.bias),
                                  feed_forward_place(index), panel);

  if (index + 1 == shape_.layers) {
    residual_layer_norm<float>(between, product, bias, norm(norm_after(index)),
                               panel_of(last_x_, panel), panel_of(last_h_, panel),
                               last_norm_.at(row));
    return;
  }
  Layer& next = layer(index + 1);
  const MatrixView<T> h1 = kept_or_scratch(next.h1, panel, kH1, shape_.width);
  const MatrixView<float> around = norms_after() ? panel_of(normed_, panel) : MatrixView<float>();
  sum_and_norm({between, product, bias, norm(norm_after(index)), input_panel(index + 1, panel),
                next.norm1.at(row), around},
               h1);
  project_qkv(index + 1, panel, h1);
}

template <class T>
void TransformerPass<T>::forward(const TokenBatch& batch, bool keep, AttentionHook<T>* hook,
                                 const Dropout& mask) {
  start(batch, keep, hook);
  start_dropout(mask);
  if (frozen()) pack_frozen(0, {Part::qkv}, Direction::forward);
  parallel_for_dynamic(panels_, [&](std::int64_t panel) {
    embed_rows(batch, panel);
    drop_embedding(input_panel(0, panel), panel);
    first_norm(0, panel);
  });
  for (std::int64_t index = 0; index < shape_.layers; ++index) {
    attend(index, batch, hook);
    if (frozen()) pack_for_finish(index);
    parallel_for_dynamic(panels_, [&](std::int64_t panel) { finish_layer(index, panel); });
  }
}

template class TransformerPass<float>;
template class TransformerPass<bf16>;

}  // namespace tutti
