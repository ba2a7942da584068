#include "kernels/model/decoder_head.h"

#include <algorithm>

#include "kernels/core/parallel.h"

namespace tutti {
namespace {

// Rows whose logits exist at a time.
constexpr std::int64_t kChunkRows = 1024;

}  // namespace

template <class T>
DecoderHead<T>::DecoderHead(std::int64_t vocabulary, std::int64_t width, std::int64_t panel_rows,
                            bool frozen, ProductBackend backend)
    : vocabulary_(vocabulary),
      panel_rows_(panel_rows),
      chunk_panels_(kChunkRows / panel_rows),
      linear_({.rows = panel_rows,
               .outputs = vocabulary,
               .inputs = width,
               .in = dtype_of<T>,
               .x_stride = Activation<T>::stride_of(width),
               // One block of logits at a time, in scratch that stays in cache.
               .y_stride = Linear::block_of(vocabulary),
               .dy_stride = Activation<T>::stride_of(vocabulary),
               .dx_stride = Activation<float>::stride_of(width),
               .weights_stay = frozen && dtype_of<T> == DType::bf16},
              backend),
      weight_gradient_({vocabulary, width, Activation<T>::stride_of(vocabulary),
                        Activation<T>::stride_of(width), dtype_of<T>},
                       backend),
      hidden_(width),
      logits_(vocabulary),
      scratch_(kSlots) {}

template <class T>
void DecoderHead<T>::load(const void* weights, DType type) {
  parallel_for_dynamic(linear_.blocks(), [&](std::int64_t block) {
    linear_.pack_forward(block, weights, type);
    linear_.pack_backward(block, weights, type);
  });
}

template <class T>
void DecoderHead<T>::start(std::int64_t tokens) {
  const std::int64_t rows =
      std::min((tokens + panel_rows_ - 1) / panel_rows_, chunk_panels_) * panel_rows_;
  hidden_.grow(rows);
  logits_.grow(rows);
  scratch_.prepare();
}

template <class T>
void DecoderHead<T>::fill_logits(MatrixView<const float> hidden, std::int64_t panel_in_chunk) {
  const MatrixView<T> h = hidden_.rows(panel_in_chunk * panel_rows_, panel_rows_);
  add_bias<T>(hidden, nullptr, h.row_range(0, hidden.rows));
  const MatrixView<T> all = logits_panel(panel_in_chunk);
  const std::int64_t size = linear_.block_size();
  float* block = scratch_.template get<float>(kWide, panel_rows_ * size);
  for (std::int64_t b = 0; b < linear_.blocks(); ++b) {
    linear_.forward_block_at(b, h.data, block, product_scratch());
    const MatrixView<T> to = block_of(all, b, size);
    add_bias<T>({block, panel_rows_, to.cols, size}, nullptr, to);
  }
}

template <class T>
void DecoderHead<T>::chunk_losses(TransformerPass<T>& body, std::int64_t first_panel,
                                  std::int64_t panels, std::span<const std::int32_t> targets,
                                  const CrossEntropyOptions& options, bool with_gradient,
                                  std::span<float> losses) {
  const std::int64_t rows = panels * panel_rows_, first = first_panel * panel_rows_;
  const std::int64_t tokens = std::min<std::int64_t>(rows, std::ssize(targets) - first);
  targets_.assign(rows, -1);
  losses_.resize(rows);
  std::copy_n(targets.begin() + first, tokens, targets_.begin());
  parallel_for_dynamic(panels, [&](std::int64_t p) {
    fill_logits(body.hidden_panel(first_panel + p), p);
    cross_entropy<T>(logits_panel(p), std::span(targets_).subspan(p * panel_rows_, panel_rows_),
                     options, with_gradient,
                     std::span(losses_).subspan(p * panel_rows_, panel_rows_));
    if (with_gradient)
      linear_.backward(logits_panel(p).data, body.d_hidden_panel(first_panel + p).data,
                       product_scratch());
  });
  std::copy_n(losses_.begin(), tokens, losses.begin() + first);
}

template <class T>
void DecoderHead<T>::add_weight_gradients(std::int64_t rows, float* d_weights) {
  parallel_for_dynamic(weight_gradient_.panels(), [&](std::int64_t panel) {
    weight_gradient_.run(panel, rows, logits_.row(0), hidden_.row(0), d_weights, scratch_,
                         kWeights);
  });
}

template <class T>
void DecoderHead<T>::losses(TransformerPass<T>& body, std::span<const std::int32_t> targets,
                            const CrossEntropyOptions& options, std::span<float> losses) {
  start(std::ssize(targets));
  for (std::int64_t panel = 0; panel < body.panels(); panel += chunk_panels_)
    chunk_losses(body, panel, std::min(chunk_panels_, body.panels() - panel), targets, options,
                 false, losses);
}

template <class T>
void DecoderHead<T>::losses_and_gradients(TransformerPass<T>& body,
                                          std::span<const std::int32_t> targets,
                                          const CrossEntropyOptions& options,
                                          std::span<float> losses, float* d_weights) {
  start(std::ssize(targets));
  for (std::int64_t panel = 0; panel < body.panels(); panel += chunk_panels_) {
    const std::int64_t panels = std::min(chunk_panels_, body.panels() - panel);
    chunk_losses(body, panel, panels, targets, options, true, losses);
    if (d_weights != nullptr) add_weight_gradients(panels * panel_rows_, d_weights);
  }
}

template <class T>
void DecoderHead<T>::logits(MatrixView<const float> hidden, std::span<float> logits) {
  start(hidden.rows);
  const std::int64_t panels = (hidden.rows + panel_rows_ - 1) / panel_rows_;
  for (std::int64_t panel = 0; panel < panels; panel += chunk_panels_) {
    parallel_for_dynamic(std::min(chunk_panels_, panels - panel), [&](std::int64_t p) {
      const std::int64_t first = (panel + p) * panel_rows_,
                         rows = std::min(panel_rows_, hidden.rows - first);
      // A panel is multiplied whole, whatever stands in its last rows.
      fill_logits(hidden.row_range(first, rows), p);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < vocabulary_; ++c)
          logits[(first + r) * vocabulary_ + c] = float(logits_panel(p)(r, c));
    });
  }
}

template class DecoderHead<float>;
template class DecoderHead<bf16>;

}  // namespace tutti
