#include "kernels/vector/assign.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/vector/chunk_scan.h"

namespace tutti {
namespace {

constexpr std::int64_t kChunk = 512;  // vectors that one thread takes at a time

// Vectors [begin, end) against all centroids.
void assign_chunk(const VectorRows& vectors, const PackedVectors& centroids, std::int64_t begin,
                  std::int64_t end, ChunkScan& scan, MatrixView<Neighbor> probes) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  const std::vector<float> bounds(rows.size(), std::numeric_limits<float>::infinity());
  scan.begin(vectors, rows, bounds);
  scan.scan(centroids, 0, centroids.groups(), VectorIds());
  for (std::int64_t i = begin; i < end; ++i) {
    scan.result(i - begin).write_sorted({probes.row(i), static_cast<std::size_t>(probes.cols)});
  }
}

}  // namespace

void assign_nearest(const VectorRows& vectors, const PackedVectors& centroids, Metric metric,
                    std::span<Neighbor> nearest) {
  assign_probes(vectors, centroids, metric,
                {nearest.data(), static_cast<std::int64_t>(nearest.size()), 1});
}

void assign_probes(const VectorRows& vectors, const PackedVectors& centroids, Metric metric,
                   MatrixView<Neighbor> probes) {
  check_rows(vectors, "assign: vectors");
  if (probes.rows != vectors.count || probes.cols < 1 || probes.stride < probes.cols) {
    throw std::invalid_argument("assign: the output must have one row per vector");
  }
  if (centroids.count() > 0 && centroids.dim() != vectors.dim) {
    throw std::invalid_argument("assign: vectors and centroids differ in dimension");
  }
  const int threads = thread_count();
  std::vector<ChunkScan> scans;
  for (int i = 0; i < threads; ++i) scans.emplace_back(metric, probes.cols);
  parallel_for_dynamic((vectors.count + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t begin = chunk * kChunk;
    const std::int64_t end = std::min(begin + kChunk, vectors.count);
    const int mine = threads == 1 ? 0 : thread_index();
    assign_chunk(vectors, centroids, begin, end, scans[static_cast<std::size_t>(mine)], probes);
  });
}

}  // namespace tutti
