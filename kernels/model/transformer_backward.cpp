#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/model/transformer_pass.h"
#include "kernels/ops/gelu.h"
#include "kernels/ops/swiglu.h"

namespace tutti {
namespace {

template <class T>
void zero_rows(MatrixView<T> rows) {
  for (std::int64_t r = 0; r < rows.rows; ++r) std::fill_n(rows.row(r), rows.cols, T(0.0f));
}

}  // namespace

template <class T>
MatrixView<const T> TransformerPass<T>::compute_panel(Residual& residual, std::int64_t panel) {
  if (drops()) return panel_of(residual.dropped, panel);
  if constexpr (std::is_same_v<T, float>)
    return panel_of(residual.wide, panel);
  else
    return panel_of(residual.narrow, panel);
}

template <class T>
const T* TransformerPass<T>::compute_data(Residual& residual) {
  return compute_panel(residual, 0).data;
}

template <class T>
MatrixView<bf16> TransformerPass<T>::narrow_panel(Residual& residual, std::int64_t panel) {
  if constexpr (std::is_same_v<T, float>)
    return {};
  else
    return panel_of(residual.narrow, panel);
}

template <class T>
void TransformerPass<T>::start_backward(const TokenBatch& batch) {
  keep_ = true;
  if (recompute_) discard_until_recomputed();
  for (Residual* residual : {&d_out_, &d_middle_, &d_in_}) {
    residual->wide.grow(rows_);
    if (drops()) residual->dropped.grow(rows_);
    if constexpr (!std::is_same_v<T, float>) residual->narrow.grow(rows_);
  }
  d_context_.grow(rows_ + kAttentionStep);
  d_qkv_.grow(rows_);
  for (Activation<T>& d_low : d_low_) d_low.grow(rows_);
  partials_.grow(panels_);
  if (causal())
    causal_->prepare(batch.offsets, true);
  else
    bidirectional_->prepare(batch.offsets, true);
  scratch_.prepare();
  zero_rows(d_in_.wide.rows(tokens_, rows_ - tokens_));
  zero_rows(d_qkv_.rows(tokens_, rows_ - tokens_));
}

// What a layer's backward pass fills anew makes room for the logits.
template <class T>
void TransformerPass<T>::discard_until_recomputed() {
  Layer& l = *layers_[0];
  for (Activation<T>* a : {&l.u, &l.v, &l.g}) a->discard();
  for (Activation<float>* a : {&l.middle, &d_out_.wide, &d_middle_.wide}) a->discard();
}

template <class T>
void TransformerPass<T>::back_final_norm(std::int64_t panel) {
  layer_norm_backward({.d_out = panel_of(d_in_.wide, panel),
                       .x = panel_of(last_x_, panel),
                       .statistics = last_norm_.at(panel * panel_rows_),
                       .gain = parameter(places_.final_norm.gain),
                       .d_x = panel_of(d_out_.wide, panel),
                       .d_x_narrow = narrow_panel(d_out_, panel),
                       .d_gain = partial(panel, columns_.norm1_gain),
                       .d_bias = partial(panel, columns_.norm1_bias),
                       .kind = shape_.norm});
  drop_gradient(d_out_, feed_forward_place(shape_.layers - 1), panel);
}

// From the gradient of a layer's output, d_out_, to that of the feed-forward part's input, in
// scratch. The gradient of u takes the place of u.
template <class T>
MatrixView<float> TransformerPass<T>::back_feed_forward(std::int64_t index, std::int64_t panel) {
  const Linear &ff1 = packed(index).ff1, &ff2 = packed(index).ff2;
  const std::int64_t size = ff2.block_size();
  const MatrixView<float> d_g = scratch_panel<float>(kWide, size);
  const MatrixView<float> d_h = scratch_panel<float>(kWide2, shape_.width);
  const MatrixView<T> u = panel_of(layer(index).u, panel);
  find_d_low(index, Part::ff2, panel, compute_panel(d_out_, panel).data);
  for (std::int64_t block = 0; block < ff2.blocks(); ++block) {
    ff2.backward_block_at(block, compute_panel(d_out_, panel).data, d_g.data, product_scratch(ff2));
    add_d_low_block(index, Part::ff2, panel, block, d_g.data);
    const MatrixView<T> part = block_of(u, block, size);
    gelu_backward<T>(block_of(d_g, 0, part.cols), part, part,
                     partial(panel, columns_.ff1_bias + block * size), shape_.gelu);
    ff1.backward_block(block, u.data, d_h.data, product_scratch(ff1));
  }
  add_d_low(index, Part::ff1, panel, u.data, d_h.data);
  return d_h;
}

// The same for a gated unit: the gradients of gate and up take their places.
template <class T>
MatrixView<float> TransformerPass<T>::back_gated_feed_forward(std::int64_t index,
                                                              std::int64_t panel) {
  const Linear &gate = packed(index).ff1, &up = *packed(index).up, &ff2 = packed(index).ff2;
  const std::int64_t size = ff2.block_size();
  const MatrixView<float> d_g = scratch_panel<float>(kWide, size);
  const MatrixView<float> d_h = scratch_panel<float>(kWide2, shape_.width);
  const MatrixView<T> u = panel_of(layer(index).u, panel), v = panel_of(layer(index).v, panel);
  find_d_low(index, Part::ff2, panel, compute_panel(d_out_, panel).data);
  for (std::int64_t block = 0; block < ff2.blocks(); ++block) {
    ff2.backward_block_at(block, compute_panel(d_out_, panel).data, d_g.data, product_scratch(ff2));
    add_d_low_block(index, Part::ff2, panel, block, d_g.data);
    const MatrixView<T> gates = block_of(u, block, size), ups = block_of(v, block, size);
    swiglu_backward<T>(block_of(d_g, 0, gates.cols), gates, ups, gates, ups);
    gate.backward_block(block, u.data, d_h.data, product_scratch(gate));
    up.backward_block(block, v.data, d_h.data, product_scratch(up));
  }
  add_d_low(index, Part::ff1, panel, u.data, d_h.data);
  add_d_low(index, Part::up, panel, v.data, d_h.data);
  return d_h;
}

// The gradient that went around a part joins that of the part in front of the norm, or behind it.
// Returns what is left to join in front.
template <class T>
MatrixView<const float> TransformerPass<T>::join(MatrixView<float> d_h,
                                                 MatrixView<const float> around) {
  if (!norms_after()) return around;
  add_rows(around, d_h);
  return {};
}

// On to the gradient of the stream between a layer's two parts, d_middle_, and of the attention's
// output, d_context_.
template <class T>
void TransformerPass<T>::back_middle(std::int64_t index, std::int64_t panel) {
  Layer& l = layer(index);
  const Linear& out = packed(index).out;
  const MatrixView<float> d_h =
      gated() ? back_gated_feed_forward(index, panel) : back_feed_forward(index, panel);
  layer_norm_backward({.d_out = d_h,
                       .x = panel_of(l.middle, panel),
                       .statistics = l.norm2.at(panel * panel_rows_),
                       .gain = parameter(places_.layers[index].norm2.gain),
                       .d_skip = join(d_h, panel_of(d_out_.wide, panel)),
                       .d_x = panel_of(d_middle_.wide, panel),
                       .d_x_narrow = narrow_panel(d_middle_, panel),
                       .d_gain = partial(panel, columns_.norm2_gain),
                       .d_bias = partial(panel, columns_.norm2_bias),
                       .kind = shape_.norm});
  drop_gradient(d_middle_, attention_place(index), panel);
  if (shape_.linear_bias) {
    output_bias_sums(d_out_, panel, partial(panel, columns_.ff2_bias));
    output_bias_sums(d_middle_, panel, partial(panel, columns_.out_bias));
  }

  const MatrixView<T> d_context = panel_of(d_context_, panel);
  const MatrixView<float> product = float_target(d_context, kWide);
  const T* d_middle = compute_panel(d_middle_, panel).data;
  out.backward(d_middle, product.data, product_scratch(out));
  add_d_low(index, Part::out, panel, d_middle, product.data);
  if constexpr (!std::is_same_v<T, float>) add_bias<T>(product, nullptr, d_context);
}

template <class T>
void TransformerPass<T>::back_attention(std::int64_t index, const TokenBatch& batch) {
  Layer& l = layer(index);
  parallel_for_dynamic(batch.size() * shape_.kv_heads, [&](std::int64_t i) {
    const std::int64_t s = i / shape_.kv_heads, head = i % shape_.kv_heads,
                       first = batch.offsets[s], length = batch.offsets[s + 1] - first;
    if (causal())
      causal_->backward(l.qkv.row(first), l.context.row(first), l.log_sums.row(first),
                        d_context_.row(first), length, head, d_qkv_.row(first));
    else
      bidirectional_->backward(l.qkv.row(first), l.probabilities.data() + probability_offsets_[i],
                               d_context_.row(first), length, head, d_qkv_.row(first));
  });
}

// From the gradients of the queries, keys and values to that of the layer's input, d_in_.
template <class T>
void TransformerPass<T>::back_qkv(std::int64_t index, std::int64_t panel) {
  Layer& l = layer(index);
  if (!shape_.learned_positions)
    rope_.inverse<T>(panel_of(d_qkv_, panel), shape_.heads + shape_.kv_heads, positions_of(panel));
  if (shape_.qkv_bias) column_sums<T>(panel_of(d_qkv_, panel), partial(panel, columns_.qkv_bias));
  const MatrixView<float> d_h = scratch_panel<float>(kWide, shape_.width);
  const Linear& linear = packed(index).qkv;
  linear.backward(panel_of(d_qkv_, panel).data, d_h.data, product_scratch(linear));
  add_d_low(index, Part::qkv, panel, panel_of(d_qkv_, panel).data, d_h.data);
  layer_norm_backward({.d_out = d_h,
                       .x = input_panel(index, panel),
                       .statistics = l.norm1.at(panel * panel_rows_),
                       .gain = parameter(places_.layers[index].norm1.gain),
                       .d_skip = join(d_h, panel_of(d_middle_.wide, panel)),
                       .d_x = panel_of(d_in_.wide, panel),
                       .d_x_narrow = narrow_panel(d_in_, panel),
                       .d_gain = partial(panel, columns_.norm1_gain),
                       .d_bias = partial(panel, columns_.norm1_bias),
                       .kind = shape_.norm});
  if (index > 0)
    drop_gradient(d_in_, feed_forward_place(index - 1), panel);
  else
    drop_embedding(panel_of(d_in_.wide, panel), panel);
}

template <class T>
void TransformerPass<T>::add_weight_gradients(std::int64_t index, std::span<float> gradients) {
  Layer& l = layer(index);
  const LayerPlaces& p = places_.layers[index];
  std::vector<WeightTask> tasks;
  const auto add = [&](const WeightGradient& kind, const T* dy, const T* x,
                       const LinearPlaces& linear) {
    for (std::int64_t panel = 0; panel < kind.panels(); ++panel)
      tasks.push_back({&kind, panel, dy, x, gradients.data() + linear.weight.offset});
  };
  add(ff1_gradient_, l.u.row(0), l.h2.row(0), p.ff1);
  if (gated()) add(ff1_gradient_, l.v.row(0), l.h2.row(0), p.up);
  add(ff2_gradient_, compute_data(d_out_), l.g.row(0), p.ff2);
  add(qkv_gradient_, d_qkv_.row(0), l.h1.row(0), p.qkv);
  add(out_gradient_, compute_data(d_middle_), l.context.row(0), p.out);
  run_weight_tasks(tasks);
}

template <class T>
void TransformerPass<T>::run_weight_tasks(const std::vector<WeightTask>& tasks) {
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const WeightTask& task = tasks[i];
    task.kind->run(task.panel, rows_, task.dy, task.x, task.gradient, scratch_, kWeights);
  });
}

template <class T>
void TransformerPass<T>::add_vector_gradients(
    const std::vector<std::pair<ParameterPlace, std::int64_t>>& parts, std::span<float> gradients) {
  std::vector<SumTarget> targets;
  for (const auto& [part, column] : parts)
    if (part.size > 0) targets.push_back({column, part.size, gradients.data() + part.offset});
  add_partial_sums(partials_.rows(0, panels_), targets);
}

// Of token type 0, which every token has; from the gradient of the embedding, d_out_.
template <class T>
void TransformerPass<T>::add_type_gradient(std::span<float> gradients) {
  parallel_for_dynamic(panels_, [&](std::int64_t panel) {
    column_sums<float>(panel_of(d_out_.wide, panel), partial(panel, columns_.norm1_bias));
  });
  add_vector_gradients({{{places_.type.offset, shape_.width}, columns_.norm1_bias}}, gradients);
}

template <class T>
void TransformerPass<T>::add_layer_gradients(std::int64_t index, std::span<float> gradients) {
  add_weight_gradients(index, gradients);
  const LayerPlaces& l = places_.layers[index];
  add_vector_gradients({{l.norm1.gain, columns_.norm1_gain},
                        {l.norm1.bias, columns_.norm1_bias},
                        {l.qkv.bias, columns_.qkv_bias},
                        {l.out.bias, columns_.out_bias},
                        {l.norm2.gain, columns_.norm2_gain},
                        {l.norm2.bias, columns_.norm2_bias},
                        {l.ff1.bias, columns_.ff1_bias},
                        {l.ff2.bias, columns_.ff2_bias}},
                       gradients);
}

// From the gradient of the embedding, d_out_.
template <class T>
void TransformerPass<T>::add_embedding_gradients(const TokenBatch& batch,
                                                 std::span<float> gradients) {
  if (shape_.token_types > 0) add_type_gradient(gradients);
  const auto rows_of = [&](const ParameterPlace& table) {
    return MatrixView<float>(gradients.data() + table.offset, table.size / shape_.width,
                             shape_.width);
  };
  const MatrixView<float> d_x = d_out_.wide.rows(0, tokens_);
  scatter_add_rows(batch.tokens, d_x, rows_of(places_.token));
  if (shape_.learned_positions)
    scatter_add_rows(std::span(positions_).first(tokens_), d_x, rows_of(places_.position));
}

template <class T>
void TransformerPass<T>::backward(const TokenBatch& batch, std::span<float> gradients,
                                  const FinalGradients& on_final) {
  const auto final_from = [&](const ParameterPlace& first) {
    if (on_final) on_final(first.offset);
  };
  parallel_for_dynamic(panels_, [&](std::int64_t panel) { back_final_norm(panel); });
  if (!frozen()) {
    add_vector_gradients({{places_.final_norm.gain, columns_.norm1_gain},
                          {places_.final_norm.bias, columns_.norm1_bias}},
                         gradients);
    final_from(places_.final_norm.gain);
  }
  for (std::int64_t index = shape_.layers - 1; index >= 0; --index) {
    if (recompute_) recompute(index, batch);
    if (frozen()) pack_frozen(index, kAllParts, Direction::backward);
    parallel_for_dynamic(panels_, [&](std::int64_t panel) { back_middle(index, panel); });
    back_attention(index, batch);
    parallel_for_dynamic(panels_, [&](std::int64_t panel) { back_qkv(index, panel); });
    if (frozen())
      add_adapter_gradients(index, gradients);
    else
      add_layer_gradients(index, gradients);
    // The gradient travels from here on, and takes memory.
    if (on_final && !recompute_)
      for (Activation<T>* a : {&layer(index).u, &layer(index).v, &layer(index).g}) a->discard();
    final_from(frozen() ? adapters_->layers[index][0].a : places_.layers[index].norm1.gain);
    std::swap(d_out_, d_in_);
  }
  if (frozen()) return;
  add_embedding_gradients(batch, gradients);
  final_from(places_.token);
}

template class TransformerPass<float>;
template class TransformerPass<bf16>;

}  // namespace tutti
