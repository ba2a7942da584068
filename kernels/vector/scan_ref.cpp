#include <vector>

#include "kernels/vector/scan.h"

namespace tutti::reference {

void scan(ConstMatrixView<float> queries, const VectorRows& vectors, const VectorIds& ids,
          Metric metric, std::span<TopK> results) {
  std::vector<float> vector(static_cast<std::size_t>(vectors.dim));
  for (std::int64_t i = 0; i < vectors.count; ++i) {
    copy_row(vectors, i, vector.data());
    for (std::int64_t q = 0; q < queries.rows; ++q) {
      const float d = distance(queries.row(q), vector.data(), vectors.dim, metric);
      results[static_cast<std::size_t>(q)].push({d, ids[i]});
    }
  }
}

void scan_lists(ConstMatrixView<float> queries, std::span<const ListScan> lists, Metric metric,
                std::span<TopK> results) {
  for (const ListScan& list : lists) {
    for (const std::int64_t q : list.queries) {
      reference::scan(queries.row_range(q, 1), list.vectors, list.ids, metric,
                      results.subspan(static_cast<std::size_t>(q), 1));
    }
  }
}

}  // namespace tutti::reference
