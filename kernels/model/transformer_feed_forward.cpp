#include "kernels/model/transformer_pass.h"
#include "kernels/ops/gelu.h"
#include "kernels/ops/swiglu.h"

namespace tutti {

// gelu(h W1^T + b1) W2^T -> out, over blocks of the inner dimension whose weights and activations
// stay in cache. Where `out` has no data, only the activations are computed.
template <class T>
void TransformerPass<T>::feed_forward(std::int64_t index, std::int64_t panel, MatrixView<const T> h,
                                      MatrixView<float> out) {
  Layer& l = layer(index);
  const Linear &ff1 = packed(index).ff1, &ff2 = packed(index).ff2;
  const float* bias = parameter(places_.layers[index].ff1.bias);
  const MatrixView<T> u = kept_or_scratch(l.u, panel, kU, shape_.feed_forward);
  const MatrixView<T> g = kept_or_scratch(l.g, panel, kG, shape_.feed_forward);
  const std::int64_t size = ff1.block_size();
  const MatrixView<float> before = scratch_panel<float>(kWide2, size);
  find_low(index, Part::ff1, panel, h.data);
  for (std::int64_t block = 0; block < ff1.blocks(); ++block) {
    ff1.forward_block_at(block, h.data, before.data, product_scratch(ff1));
    add_low_block(index, Part::ff1, panel, block, before.data);
    const MatrixView<T> pre = block_of(u, block, size);
    bias_gelu<T>(block_of(before, 0, pre.cols), bias + block * size, pre, block_of(g, block, size),
                 shape_.gelu);
    if (out.data != nullptr) ff2.forward_block(block, g.data, out.data, product_scratch(ff2));
  }
  if (out.data != nullptr)
    add_low(index, Part::ff2, panel, g.data, out.data);
  else
    find_low(index, Part::ff2, panel, g.data);
}

// (silu(h W_gate^T) * (h W_up^T)) W2^T -> out, in the same way.
template <class T>
void TransformerPass<T>::gated_feed_forward(std::int64_t index, std::int64_t panel,
                                            MatrixView<const T> h, MatrixView<float> out) {
  Layer& l = layer(index);
  const Linear &gate = packed(index).ff1, &up = *packed(index).up, &ff2 = packed(index).ff2;
  const MatrixView<T> u = kept_or_scratch(l.u, panel, kU, shape_.feed_forward);
  const MatrixView<T> v = kept_or_scratch(l.v, panel, kV, shape_.feed_forward);
  const MatrixView<T> g = kept_or_scratch(l.g, panel, kG, shape_.feed_forward);
  const std::int64_t size = gate.block_size();
  const MatrixView<float> gates = scratch_panel<float>(kWide2, size),
                          ups = scratch_panel<float>(kWide3, size);
  for (const Part part : {Part::ff1, Part::up}) find_low(index, part, panel, h.data);
  for (std::int64_t block = 0; block < gate.blocks(); ++block) {
    gate.forward_block_at(block, h.data, gates.data, product_scratch(gate));
    up.forward_block_at(block, h.data, ups.data, product_scratch(up));
    add_low_block(index, Part::ff1, panel, block, gates.data);
    add_low_block(index, Part::up, panel, block, ups.data);
    const MatrixView<T> kept = block_of(u, block, size);
    swiglu<T>(block_of(gates, 0, kept.cols), block_of(ups, 0, kept.cols), kept,
              block_of(v, block, size), block_of(g, block, size));
    if (out.data != nullptr) ff2.forward_block(block, g.data, out.data, product_scratch(ff2));
  }
  if (out.data != nullptr)
    add_low(index, Part::ff2, panel, g.data, out.data);
  else
    find_low(index, Part::ff2, panel, g.data);
}

template <class T>
void TransformerPass<T>::run_feed_forward(std::int64_t index, std::int64_t panel,
                                          MatrixView<const T> h, MatrixView<float> out) {
  if (gated())
    gated_feed_forward(index, panel, h, out);
  else
    feed_forward(index, panel, h, out);
}

template class TransformerPass<float>;
template class TransformerPass<bf16>;

}  // namespace tutti
