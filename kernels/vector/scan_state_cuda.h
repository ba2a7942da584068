// What queries have found so far, on a CUDA device. Internal to kernels/vector.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/core/tensor.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/memory.h"
#include "kernels/vector/device_rows_cuda.h"
#include "kernels/vector/scan_kernels_cuda.h"
#include "kernels/vector/top_k.h"

namespace tutti::cuda {

template <class T>
void put(std::span<const T> from, DeviceBuffer<T>& to, cudaStream_t stream) {
  to.grow(std::ssize(from));
  copy<T>(from, to.span().first(from.size()), stream);
}
// There once the stream was waited for.
template <class T>
std::vector<T> get(const DeviceBuffer<T>& from, std::int64_t count, cudaStream_t stream) {
  std::vector<T> values(static_cast<std::size_t>(count));
  copy<T>(from.span().first(values.size()), values, stream);
  return values;
}

// Work that is done at a time.
struct ScanStage {
  // Part of a list on the device, and some queries' numbers in a table.
  struct Part {
    std::int64_t first = 0, rows = 0;
    std::int32_t member = 0, members = 0;
  };

  std::vector<Part> parts;
  std::vector<std::int32_t> members;

  void add(std::int64_t first, std::int64_t rows, std::span<const std::int32_t> queries);
  std::span<const std::int32_t> members_of(const Part& part) const {
    return std::span(members).subspan(std::size_t(part.member), std::size_t(part.members));
  }
  // Rows that a query looks at, at most.
  std::int64_t most_rows(std::int64_t queries) const;
  // Halves of the rows that some queries look at.
  std::vector<ScanStage> halves(const std::vector<char>& of_queries) const;
};

class ScanState {
 public:
  // Nothing is found yet, and nothing farther than a query's limit is wanted.
  void start(ConstMatrixView<float> queries, std::int64_t k, std::span<const float> limits,
             cudaStream_t stream);

  std::int64_t count() const { return count_; }
  std::int64_t k() const { return k_; }
  // Whether something is known of every query's neighbours.
  bool is_limited(cudaStream_t stream) const;
  // Rows to look at before any, or where so many have been looked at: about as many are nearer than
  // what is known then as there is room for.
  std::int64_t rows_after(std::int64_t rows) const;

  // Both take vectors into account, for all queries but those that they return: of these too many
  // came into question. Their limits are lower now.
  std::vector<char> scan(const DeviceVectors& vectors, const ScanStage& stage, cudaStream_t stream);
  // Lists of the vectors, by starts, probes, queries, columns and rows of the arguments. A list has
  // at most `most_rows`.
  std::vector<char> scan(const DeviceVectors& vectors, ProbeArguments probes,
                         std::int64_t most_rows, cudaStream_t stream);

  // Calls take(query, rank, neighbour), nearest first, for all that was found; queries in parallel.
  template <class Take>
  void finish(cudaStream_t stream, Take&& take) const {
    const std::vector<std::int32_t> kept = get<std::int32_t>(kept_, count_, stream);
    const std::vector<float> distances = get<float>(kept_distances_, count_ * k_, stream);
    const std::vector<std::int64_t> ids = get<std::int64_t>(kept_ids_, count_ * k_, stream);
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    parallel_for(count_, [&](std::int64_t q) {
      for (std::int64_t i = 0; i < kept[std::size_t(q)]; ++i)
        take(q, i, Neighbor{distances[std::size_t(q * k_ + i)], ids[std::size_t(q * k_ + i)]});
    });
  }

 private:
  std::vector<char> run(const DeviceVectors& vectors, std::int64_t tasks,
                        const std::int32_t* task_count, cudaStream_t stream);
  std::vector<char> overflowed(cudaStream_t stream);

  std::int64_t count_ = 0, k_ = 0, room_ = 0;
  DeviceRows rows_;
  DeviceBuffer<float> limits_, thresholds_, distances_, kept_distances_;
  DeviceBuffer<std::int32_t> counts_, kept_, overflowed_, overflows_, survivors_, members_;
  DeviceBuffer<std::int32_t> sizes_, places_, task_places_, task_count_;
  DeviceBuffer<std::int64_t> kept_ids_;
  DeviceBuffer<TileTask> tasks_;
};

}  // namespace tutti::cuda
