// Dropout on what joins the residual stream. Its places: the embedding, and the two parts of each
// layer.
#include <algorithm>

#include "kernels/model/transformer_pass.h"

namespace tutti {

template <class T>
Dropout TransformerPass<T>::dropout_of(std::int64_t panel) const {
  return {dropout_rate_, std::span(dropout_rows_).subspan(panel * panel_rows_, panel_rows_)};
}

template <class T>
void TransformerPass<T>::start_dropout(const Dropout& mask) {
  dropout_rate_ = mask.rate;
  dropout_rows_.assign(drops() ? rows_ : 0, 0);
  if (drops()) std::copy_n(mask.rows.data(), tokens_, dropout_rows_.begin());
}

// Of the embedding, or of its gradient.
template <class T>
void TransformerPass<T>::drop_embedding(MatrixView<float> x, std::int64_t panel) {
  if (drops()) dropout<float>(x, dropout_of(panel), 0, x);
}

// Of a part's output, with its bias. Returns the bias that is still to be added.
template <class T>
const float* TransformerPass<T>::drop_output(MatrixView<float> product, const float* bias,
                                             std::uint64_t place, std::int64_t panel) {
  if (!drops()) return bias;
  add_bias<float>(product, bias, product);
  dropout<float>(product, dropout_of(panel), place, product);
  return nullptr;
}

// From the gradient of the residual stream to that of the part's output that joined it.
template <class T>
void TransformerPass<T>::drop_gradient(Residual& residual, std::uint64_t place,
                                       std::int64_t panel) {
  if (!drops()) return;
  dropout<T>(panel_of(residual.wide, panel), dropout_of(panel), place,
             panel_of(residual.dropped, panel));
}

// Over rows of the gradient of a part's output.
template <class T>
void TransformerPass<T>::output_bias_sums(Residual& residual, std::int64_t panel, float* sums) {
  if (drops())
    column_sums<T>(panel_of(residual.dropped, panel), sums);
  else
    column_sums<float>(panel_of(residual.wide, panel), sums);
}

template class TransformerPass<float>;
template class TransformerPass<bf16>;

}  // namespace tutti
