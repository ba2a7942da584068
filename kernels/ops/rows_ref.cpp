#include "kernels/ops/rows.h"

namespace tutti::reference {

void scatter_add_rows(std::span<const std::int32_t> index, MatrixView<const float> from,
                      MatrixView<float> to) {
  for (std::size_t i = 0; i < index.size(); ++i)
    for (std::int64_t c = 0; c < from.cols; ++c)
      to(index[i], c) += from(static_cast<std::int64_t>(i), c);
}

}  // namespace tutti::reference
