// The kernels of exact search on CUDA devices, launched from scan_cuda.cpp.
//
// Tensor cores multiply vectors and queries rounded to bf16, sixteen thousand pairs a tile. A tile
// starts from what the vectors' lengths contribute, so that the sum is compared with one number a
// query as soon as it is there: what passes may be near enough, by a bound on all rounding, and is
// measured then as reference::distance defines it. So results do not depend on the bf16 at all, nor
// on the order in which survivors arrive: sums of floats meet in no atomic operation.
//
// The bound. With q' and v' the rounded ones, r = |q - q'| and s = |v - v'|,
//   |q.v - q'.v'| <= r |v| + |q| s + r s,
// and for any balance b >= 1 the first is at most (b r^2 + |v|^2 / b) / 2, the second likewise: the
// bound splits into a query's part and a vector's, which goes into what a tile starts from.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include "kernels/core/dtype.h"
#include "kernels/vector/distance.h"

namespace tutti::cuda {

inline constexpr int kScanTile = 128;  // queries, and vectors, of a tile
inline constexpr int kScanSlice = 64;  // dimensions that are multiplied at a time
inline constexpr int kScanThreads = 128;

// Rows in device memory, as they were given and rounded. What follows their last dimension is zero.
struct ScanRows {
  const unsigned char* rows = nullptr;  // row_bytes apart, a multiple of 16
  DType type = DType::f32;
  std::int64_t row_bytes = 0;
  bf16* rounded = nullptr;          // [count][rounded_stride]
  std::int64_t rounded_stride = 0;  // a multiple of kScanSlice
  std::int64_t count = 0, dim = 0;
  double* squares = nullptr;    // of the rows' lengths
  double* residuals = nullptr;  // of the lengths of what rounding takes off them
};

// What the bounds need besides the rows.
struct ScanBounds {
  Metric metric = Metric::l2;
  double slack = 0;       // of a distance measured in float, relative
  double underflow = 0;   // the same, absolute
  double tile_slack = 0;  // of a sum on the tensor cores, relative to all lengths squared
  double balance = 1;
  double largest_square = 0;  // of a length that is bounded
};

// Sets `rounded`, `squares` and `residuals`.
void prepare_rows(const ScanRows& rows, cudaStream_t stream);
// What a tile starts from, per vector.
void make_starts(const ScanRows& vectors, const ScanBounds& bounds, float* starts,
                 cudaStream_t stream);
// What a tile's sum must reach, per query, for a distance of at most limits[query].
void make_thresholds(const ScanRows& queries, const ScanBounds& bounds, const float* limits,
                     float* thresholds, cudaStream_t stream);

// A block's work: the queries members[member...] and rows [first, first + rows) of the vectors.
struct TileTask {
  std::int64_t first = 0;
  std::int32_t rows = 0;
  std::int32_t member = 0;
  std::int32_t members = 0;  // at most kScanTile
};

struct TileArguments {
  const bf16* vectors = nullptr;  // rows of `slices` slices, as the queries'
  const float* starts = nullptr;
  const bf16* queries = nullptr;
  const float* thresholds = nullptr;
  const TileTask* tasks = nullptr;
  const std::int32_t* count = nullptr;  // of tasks, where fewer may be there than blocks
  const std::int32_t* members = nullptr;
  int slices = 0;
  // Per query, the vectors that pass: `counts` of them, the first `room` with their rows.
  std::int32_t room = 0;
  std::int32_t* counts = nullptr;
  std::int32_t* survivors = nullptr;  // [queries][room]
};

void scan_tiles(const TileArguments& arguments, std::int64_t tasks, cudaStream_t stream);

// Queries and the lists that they look into: columns [begin, end) of rows of `columns` lists.
struct ProbeArguments {
  const std::int32_t* probes = nullptr;
  std::int64_t queries = 0;
  int columns = 0, begin = 0, end = 0;
  const std::int64_t* starts = nullptr;  // of the lists, and where the last one ends
  int lists = 0;
  std::int64_t skip = 0, until = 0;  // which of each list's rows
  std::int32_t run = 0;              // of a task, at most
  std::int32_t* sizes = nullptr;     // [lists] of scratch
  std::int32_t* places = nullptr;    // [lists]
  std::int32_t* members = nullptr;   // [queries * (end - begin)]
  TileTask* tasks = nullptr;
  std::int32_t* task_places = nullptr;  // [lists]
  std::int32_t* task_count = nullptr;
};

// Sorts the queries by list and cuts the lists into tasks.
void plan_probes(const ProbeArguments& arguments, cudaStream_t stream);

// The neighbours that queries have so far, nearest first, and what came out of the tiles.
struct SurvivorArguments {
  std::int32_t* counts = nullptr;
  const std::int32_t* survivors = nullptr;
  float* distances = nullptr;  // [queries][room], of the survivors
  std::int32_t room = 0, k = 0;
  const std::int64_t* ids = nullptr;  // per vector
  float* limits = nullptr;
  float* kept_distances = nullptr;  // [queries][k]
  std::int64_t* kept_ids = nullptr;
  std::int32_t* kept = nullptr;
  // Where more passed than there was room for: nothing is kept of these, but the limit falls to
  // what they tell.
  std::int32_t* overflowed = nullptr;
  std::int32_t* overflows = nullptr;  // how many queries did
};

// The survivors' distances.
void measure_survivors(const ScanRows& queries, const ScanRows& vectors, Metric metric,
                       const SurvivorArguments& arguments, cudaStream_t stream);
// Adds them to what is kept, lowers the limits, and sets the counts to zero.
void keep_nearest(const SurvivorArguments& arguments, std::int64_t queries, cudaStream_t stream);

}  // namespace tutti::cuda
