// A layer's activations once more, from its input.
#include "kernels/core/parallel.h"
#include "kernels/model/transformer_pass.h"

namespace tutti {

template <class T>
void TransformerPass<T>::recompute(std::int64_t index, const TokenBatch& batch) {
  if (frozen()) pack_frozen(index, kAllParts, Direction::forward);
  parallel_for_dynamic(panels_, [&](std::int64_t panel) { first_norm(index, panel); });
  attend(index, batch, nullptr);
  parallel_for_dynamic(panels_, [&](std::int64_t panel) {
    const MatrixView<T> h2 = panel_of(layer(index).h2, panel);
    finish_attention(index, panel, h2);
    run_feed_forward(index, panel, h2, {});
  });
}

template class TransformerPass<float>;
template class TransformerPass<bf16>;

}  // namespace tutti
