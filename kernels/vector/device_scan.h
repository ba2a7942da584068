// Exact search on a device: what scan.h defines, the same numbers.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/core/tensor.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/scan.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// One thread at a time. Functions return when all is done, and throw DeviceError and
// std::invalid_argument.
class DeviceScan {
 public:
  // The largest k. A search for more is the CPU's.
  static constexpr std::int64_t kMostNeighbors = 1024;

  virtual ~DeviceScan() = default;

  // Copies vectors to the device, to stay there instead of those held before: lists whose vectors
  // are among them, in this very memory, are not copied for each scan. They have these ids, and are
  // searched in this metric. Returns false, and holds nothing, where they do not fit.
  virtual bool hold(const VectorRows& vectors, const VectorIds& ids, Metric metric) = 0;
  // Which of the vectors held are a list's: those of list l are rows [starts[l], starts[l + 1]).
  virtual void hold_lists(std::span<const std::int64_t> starts) = 0;

  // As scan_lists of scan.h. Lists that are not held are copied, as many at a time as fit.
  virtual void scan_lists(ConstMatrixView<float> queries, std::span<const ListScan> lists,
                          Metric metric, std::span<TopK> results) = 0;
  // The same of lists that are held: row q of `probes` names those that query q looks into, sooner
  // done where the nearest come first; -1 is none.
  virtual void scan_probed(ConstMatrixView<float> queries, ConstMatrixView<std::int32_t> probes,
                           std::span<TopK> results) = 0;

  // As assign_probes of assign.h.
  virtual void assign_probes(ConstMatrixView<float> vectors, ConstMatrixView<float> centroids,
                             Metric metric, MatrixView<Neighbor> probes) = 0;
};

// As scan() of scan.h, on a device.
void scan(DeviceScan& device, ConstMatrixView<float> queries, const VectorRows& vectors,
          const VectorIds& ids, Metric metric, std::span<TopK> results);

}  // namespace tutti
