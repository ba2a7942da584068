// A transformer's body with frozen parameters and trained adapters.
#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/model/transformer_pass.h"

namespace tutti {

template <class T>
void TransformerPass<T>::make_adapters(ProductBackend backend) {
  const std::int64_t rank = adapters_->shape.rank;
  for (const AdapterPlaces& a : adapters_->layers[0]) {
    const std::int64_t outputs = a.part == Part::qkv ? shape_.qkv_width() : a.outputs;
    // As make_layer() has it.
    const bool blocks_out = a.part == Part::ff1 || a.part == Part::up;
    const LowRankShape shape{
        .rows = panel_rows_,
        .outputs = a.outputs,
        .inputs = a.inputs,
        .rank = rank,
        .scale = adapters_->shape.scale(),
        .x_stride = Activation<T>::stride_of(a.inputs),
        .y_stride = blocks_out ? inner_stride() : Activation<float>::stride_of(outputs),
        .dy_stride = Activation<T>::stride_of(outputs),
        .dx_stride = a.part == Part::ff2 ? inner_stride() : Activation<float>::stride_of(a.inputs),
        .low_stride = Activation<T>::stride_of(rank)};
    low_rank_.emplace_back(shape, backend);
    low_rank_gradients_.emplace_back(shape, dtype_of<T>, backend);
    d_low_.emplace_back(rank);
  }
  for (const auto& layer : layers_)
    for (std::size_t i = 0; i < d_low_.size(); ++i) layer->low.emplace_back(rank);
}

template <class T>
void TransformerPass<T>::load_frozen(const bf16* matrices, const float* vectors,
                                     const float* adapters) {
  matrices_ = matrices;
  arena_ = vectors;
  adapter_arena_ = adapters;
}

template <class T>
void TransformerPass<T>::pack_adapters(std::int64_t index, std::initializer_list<Part> parts) {
  const std::vector<AdapterPlaces>& places = adapters_->layers[index];
  parallel_for_dynamic(std::ssize(places), [&](std::int64_t i) {
    if (std::ranges::find(parts, places[i].part) == parts.end()) return;
    low_rank_[i].load(adapter_arena_ + places[i].a.offset, adapter_arena_ + places[i].b.offset);
  });
}

template <class T>
void TransformerPass<T>::pack_frozen(std::int64_t index, std::initializer_list<Part> parts,
                                     Direction direction) {
  struct Task {
    Linear* linear;
    std::int64_t block;
    const bf16* weights;
  };
  std::vector<Task> tasks;
  const LayerPlaces& l = places_.layers[index];
  PackedLayer& layer = packed(index);
  const auto add = [&](Linear& linear, const LinearPlaces& from) {
    for (std::int64_t block = 0; block < linear.blocks(); ++block)
      tasks.push_back({&linear, block, matrices_ + from.weight.offset});
  };
  for (const Part part : parts) {
    if (part == Part::qkv) add(layer.qkv, l.qkv);
    if (part == Part::out) add(layer.out, l.out);
    if (part == Part::ff1) add(layer.ff1, l.ff1);
    if (part == Part::up && layer.up) add(*layer.up, l.up);
    if (part == Part::ff2) add(layer.ff2, l.ff2);
  }
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const Task& task = tasks[i];
    if (direction == Direction::forward)
      task.linear->pack_forward(task.block, task.weights, DType::bf16);
    else
      task.linear->pack_backward(task.block, task.weights, DType::bf16);
  });
  pack_adapters(index, parts);
}

// finish_layer() ends with the next layer's queries, keys and values.
template <class T>
void TransformerPass<T>::pack_for_finish(std::int64_t index) {
  pack_frozen(index, {Part::out, Part::ff1, Part::up, Part::ff2}, Direction::forward);
  if (index + 1 < shape_.layers) pack_frozen(index + 1, {Part::qkv}, Direction::forward);
}

template <class T>
void TransformerPass<T>::embed_frozen_rows(const TokenBatch& batch, std::int64_t panel) {
  const MatrixView<float> x = input_panel(0, panel);
  for (std::int64_t r = 0; r < panel_rows_; ++r) {
    const std::int64_t t = panel * panel_rows_ + r;
    std::fill_n(x.row(r), x.cols, 0.0f);
    if (t >= tokens_) continue;
    const bf16* token = matrices_ + places_.token.offset + batch.tokens[t] * x.cols;
    for (std::int64_t c = 0; c < x.cols; ++c) x(r, c) = float(token[c]);
    if (!shape_.learned_positions) continue;
    const bf16* position = matrices_ + places_.position.offset + positions_[t] * x.cols;
    for (std::int64_t c = 0; c < x.cols; ++c) x(r, c) += float(position[c]);
  }
}

template <class T>
template <class Visit>
void TransformerPass<T>::each_adapter(std::int64_t index, Part part, Visit&& visit) {
  if (!frozen()) return;
  const std::vector<AdapterPlaces>& places = adapters_->layers[index];
  for (std::size_t i = 0; i < places.size(); ++i)
    if (places[i].part == part) visit(low_rank_[i], places[i], i);
}

template <class T>
void TransformerPass<T>::find_low(std::int64_t index, Part part, std::int64_t panel, const T* x) {
  each_adapter(index, part, [&](const LowRank<T>& adapter, const AdapterPlaces&, std::size_t i) {
    adapter.low(x, panel_of(layer(index).low[i], panel),
                scratch_.template get<std::byte>(kLowRank, adapter.scratch_bytes()));
  });
}

template <class T>
void TransformerPass<T>::add_low(std::int64_t index, Part part, std::int64_t panel, const T* x,
                                 float* y) {
  find_low(index, part, panel, x);
  each_adapter(index, part, [&](const LowRank<T>& adapter, const AdapterPlaces& a, std::size_t i) {
    adapter.add(panel_of(layer(index).low[i], panel).data, y + a.first_output,
                scratch_.template get<std::byte>(kLowRank, adapter.scratch_bytes()));
  });
}

template <class T>
void TransformerPass<T>::add_low_block(std::int64_t index, Part part, std::int64_t panel,
                                       std::int64_t block, float* y) {
  each_adapter(index, part, [&](const LowRank<T>& adapter, const AdapterPlaces&, std::size_t i) {
    adapter.add_block(block, panel_of(layer(index).low[i], panel).data, y,
                      scratch_.template get<std::byte>(kLowRank, adapter.scratch_bytes()));
  });
}

template <class T>
void TransformerPass<T>::find_d_low(std::int64_t index, Part part, std::int64_t panel,
                                    const T* dy) {
  each_adapter(index, part, [&](const LowRank<T>& adapter, const AdapterPlaces& a, std::size_t i) {
    adapter.d_low(dy + a.first_output, panel_of(d_low_[i], panel),
                  scratch_.template get<std::byte>(kLowRank, adapter.scratch_bytes()));
  });
}

template <class T>
void TransformerPass<T>::add_d_low(std::int64_t index, Part part, std::int64_t panel, const T* dy,
                                   float* dx) {
  find_d_low(index, part, panel, dy);
  each_adapter(index, part, [&](const LowRank<T>& adapter, const AdapterPlaces&, std::size_t i) {
    adapter.add_dx(panel_of(d_low_[i], panel).data, dx,
                   scratch_.template get<std::byte>(kLowRank, adapter.scratch_bytes()));
  });
}

template <class T>
void TransformerPass<T>::add_d_low_block(std::int64_t index, Part part, std::int64_t panel,
                                         std::int64_t block, float* dx) {
  each_adapter(index, part, [&](const LowRank<T>& adapter, const AdapterPlaces&, std::size_t i) {
    adapter.add_dx_block(block, panel_of(d_low_[i], panel).data, dx,
                         scratch_.template get<std::byte>(kLowRank, adapter.scratch_bytes()));
  });
}

// In a backward pass, u and v hold their gradients.
template <class T>
const T* TransformerPass<T>::d_output(Part part, Layer& l) {
  switch (part) {
    case Part::qkv:
      return d_qkv_.row(0);
    case Part::out:
      return compute_data(d_middle_);
    case Part::ff1:
      return l.u.row(0);
    case Part::up:
      return l.v.row(0);
    default:
      return compute_data(d_out_);
  }
}

template <class T>
const T* TransformerPass<T>::input(Part part, Layer& l) {
  switch (part) {
    case Part::qkv:
      return l.h1.row(0);
    case Part::out:
      return l.context.row(0);
    case Part::ff2:
      return l.g.row(0);
    default:
      return l.h2.row(0);
  }
}

template <class T>
void TransformerPass<T>::add_adapter_gradients(std::int64_t index, std::span<float> gradients) {
  Layer& l = layer(index);
  std::vector<WeightTask> tasks;
  const auto add = [&](const WeightGradient& kind, const T* dy, const T* x, ParameterPlace to) {
    for (std::int64_t panel = 0; panel < kind.panels(); ++panel)
      tasks.push_back({&kind, panel, dy, x, gradients.data() + to.offset});
  };
  for (std::size_t i = 0; i < d_low_.size(); ++i) {
    const AdapterPlaces& a = adapters_->layers[index][i];
    const LowRankGradients& kinds = low_rank_gradients_[i];
    add(kinds.b, d_output(a.part, l) + a.first_output, l.low[i].row(0), a.b);
    add(kinds.a, d_low_[i].row(0), input(a.part, l), a.a);
  }
  run_weight_tasks(tasks);
}

template class TransformerPass<float>;
template class TransformerPass<bf16>;

}  // namespace tutti
