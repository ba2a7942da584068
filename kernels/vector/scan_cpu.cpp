#include <algorithm>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/vector/chunk_scan.h"
#include "kernels/vector/scan_tasks.h"
#include "kernels/vector/shared_results.h"

namespace tutti::detail {
namespace {

// Queries that one thread takes at a time: enough to reuse each vector often, few enough that they
// stay in the second-level cache.
constexpr std::int64_t kChunk = 512;

// Vectors that one thread takes at a time. Neither of these can be seen in a result.
constexpr std::int64_t kPiece = 8192;

// Bytes of vectors that are packed at a time.
constexpr std::int64_t kSlabBytes = 192 * 1024;

// A chunk of a target's queries against a piece of its vectors.
struct ScanTask {
  const ScanTarget* target;
  std::span<const std::int64_t> queries;
  std::int64_t begin;  // vectors
  std::int64_t end;
};

std::int64_t vectors_of(const ScanTarget& target) {
  return target.packed != nullptr ? target.packed->count() : target.rows.count;
}

std::vector<ScanTask> cut(std::span<const ScanTarget> targets) {
  std::vector<ScanTask> tasks;
  for (const ScanTarget& target : targets) {
    const std::int64_t count = vectors_of(target);
    const auto queries = static_cast<std::int64_t>(target.queries.size());
    const std::int64_t chunks = (queries + kChunk - 1) / kChunk;
    const std::int64_t blocks = (queries + kTileQueries - 1) / kTileQueries;
    for (std::int64_t begin = 0; begin < count; begin += kPiece) {
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const std::int64_t from = blocks * chunk / chunks * kTileQueries;
        const std::int64_t to = std::min(blocks * (chunk + 1) / chunks * kTileQueries, queries);
        tasks.push_back({&target,
                         target.queries.subspan(static_cast<std::size_t>(from),
                                                static_cast<std::size_t>(to - from)),
                         begin, std::min(begin + kPiece, count)});
      }
    }
  }
  return tasks;
}

// What a thread works with.
struct Scratch {
  ChunkScan scan;
  PackedVectors slab;
  std::vector<float> bounds;
};

void scan_rows(const ScanTask& task, Scratch& scratch) {
  const VectorRows& rows = task.target->rows;
  const VectorIds& ids = task.target->ids;
  const std::int64_t tile_bytes = kTileVectors * rows.dim * std::int64_t{sizeof(float)};
  const std::int64_t slab = std::max<std::int64_t>(1, kSlabBytes / tile_bytes) * kTileVectors;
  for (std::int64_t begin = task.begin; begin < task.end; begin += slab) {
    const std::int64_t size = std::min(slab, task.end - begin);
    scratch.slab.pack(rows.range(begin, size));
    scratch.scan.scan(scratch.slab, 0, scratch.slab.groups(), ids.range(begin, size));
  }
}

void run(const ScanTask& task, const VectorRows& queries, SharedResults& results,
         Scratch& scratch) {
  scratch.bounds.clear();
  for (const std::int64_t query : task.queries) {
    scratch.bounds.push_back(results.limit(query));
  }
  scratch.scan.begin(queries, task.queries, scratch.bounds);
  if (task.target->packed != nullptr) {
    const std::int64_t first = task.begin / kTileLanes;
    const std::int64_t end = (task.end + kTileLanes - 1) / kTileLanes;
    scratch.scan.scan(*task.target->packed, first, end - first, task.target->ids);
  } else {
    scan_rows(task, scratch);
  }
  for (std::size_t i = 0; i < task.queries.size(); ++i) {
    results.merge(task.queries[i], scratch.scan.result(static_cast<std::int64_t>(i)));
  }
}

}  // namespace

void scan_cpu(const VectorRows& queries, std::span<const ScanTarget> targets, Metric metric,
              std::span<TopK> results) {
  const std::vector<ScanTask> tasks = cut(targets);
  if (tasks.empty()) return;
  SharedResults shared(results);
  std::vector<Scratch> scratch;
  const int threads = thread_count();
  for (int i = 0; i < threads; ++i) {
    scratch.push_back({ChunkScan(metric, results[0].k()), {}, {}});
  }
  parallel_for_dynamic(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const int mine = threads == 1 ? 0 : thread_index();
    run(tasks[static_cast<std::size_t>(i)], queries, shared,
        scratch[static_cast<std::size_t>(mine)]);
  });
}

}  // namespace tutti::detail
