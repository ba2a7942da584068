#include "kernels/vector/device_scan.h"

#include <numeric>
#include <vector>

namespace tutti {

void scan(DeviceScan& device, ConstMatrixView<float> queries, const VectorRows& vectors,
          const VectorIds& ids, Metric metric, std::span<TopK> results) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(queries.rows));
  std::iota(rows.begin(), rows.end(), 0);
  const ListScan whole{vectors, ids, rows};
  device.scan_lists(queries, {&whole, 1}, metric, results);
}

}  // namespace tutti
