#include "kernels/cuda/launch.h"
#include "kernels/vector/elements_cuda.h"
#include "kernels/vector/scan_kernels_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kStages = 3;                            // slices under way
constexpr int kSliceSize = kScanTile * kScanSlice;    // elements
constexpr int kChunks = kScanSlice / 8;               // of 16 bytes, in a row of a slice
constexpr int kRowsAtATime = kScanThreads / kChunks;  // an even number: place_of() tells two apart
constexpr int kFrontBytes = 3 * kScanTile * 4;        // members, and two tiles' starts
// All of the queries' slices stay in shared memory where there are no more than these.
constexpr int kMostResident = 4;

// A slice is [kScanTile][kScanSlice] in shared memory; of two neighbouring rows one has its halves
// swapped, so that the eight lanes that read at a time find all banks.
__device__ __forceinline__ int place_of(int row, int chunk) {
  return row * kScanSlice + ((chunk ^ (row % 2 * 4)) * 8);
}

// Four warps, each of which has 64 queries by 64 vectors of a tile. The 16 bytes that a lane reads
// of a row hold its operands of two instructions: which dimensions a product takes first is the
// same for queries and vectors, and otherwise free.
template <bool resident>
class TileScan {
 public:
  __device__ __forceinline__ TileScan(const TileArguments& arguments, const TileTask& task)
      : a_(arguments),
        task_(task),
        members_(dynamic_shared<std::int32_t>()),
        starts_(dynamic_shared<float>() + kScanTile),
        queries_(reinterpret_cast<bf16*>(dynamic_shared<unsigned char>() + kFrontBytes)),
        vectors_(queries_ + (resident ? a_.slices : kStages) * kSliceSize),
        thread_(int(threadIdx.x)),
        lane_(thread_ % 32),
        first_query_(thread_ / 64 * 64),
        first_vector_(thread_ / 32 % 2 * 64) {}

  __device__ __forceinline__ void run() {
    members_[thread_] = thread_ < task_.members ? a_.members[task_.member + thread_] : -1;
    __syncthreads();
    load_thresholds();
    if (resident)
      for (int slice = 0; slice < a_.slices; ++slice) start_queries(slice, slice);
    const int tiles = (task_.rows + kScanTile - 1) / kScanTile, steps = tiles * a_.slices;
    for (int step = 0; step < kStages - 1; ++step) start_step(step < steps, step);
    starts_[thread_] = start_of(0);
    int tile = 0, slice = 0;
    for (int step = 0; step < steps; ++step) {
      wait_copies<kStages - 2>();
      __syncthreads();
      start_step(step + kStages - 1 < steps, (step + kStages - 1) % kStages);
      float next_start = 0;
      if (slice == 0) {
        begin_tile(tile);
        next_start = start_of(tile + 1);
      }
      multiply(queries_ + (resident ? slice : step % kStages) * kSliceSize,
               vectors_ + step % kStages * kSliceSize);
      if (slice == 0) starts_[(tile + 1) % 2 * kScanTile + thread_] = next_start;
      if (++slice < a_.slices) continue;
      keep_passing(tile);
      slice = 0;
      ++tile;
    }
    wait_copies<0>();
  }

 private:
  // Threads take 16 bytes each of neighbouring places in a row.
  __device__ __forceinline__ void start_queries(int slice, int buffer) {
    const int row = thread_ / kChunks, chunk = thread_ % kChunks;
    const bf16* from = a_.queries + slice * kScanSlice + chunk * 8;
    bf16* to = queries_ + buffer * kSliceSize + place_of(row, chunk);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const std::int32_t query = members_[i * kRowsAtATime + row];
      const std::int64_t at = std::int64_t(max(query, 0)) * (a_.slices * kScanSlice);
      copy_async_16(to + i * kRowsAtATime * kScanSlice, from + at, query >= 0);
    }
  }

  __device__ __forceinline__ void start_vectors(int tile, int slice, int buffer) {
    const int stride = a_.slices * kScanSlice, row = thread_ / kChunks, chunk = thread_ % kChunks;
    const int left = task_.rows - tile * kScanTile - row;
    const bf16* from = a_.vectors + (task_.first + tile * kScanTile + row) * stride +
                       slice * kScanSlice + chunk * 8;
    bf16* to = vectors_ + buffer * kSliceSize + place_of(row, chunk);
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const bool valid = i * kRowsAtATime < left;
      copy_async_16(to + i * kRowsAtATime * kScanSlice,
                    valid ? from + i * kRowsAtATime * stride : a_.vectors, valid);
    }
  }

  // Steps come in order; each is a group of copies, those behind the last an empty one.
  __device__ __forceinline__ void start_step(bool is_one, int buffer) {
    if (is_one) {
      start_vectors(next_tile_, next_slice_, buffer);
      if (!resident) start_queries(next_slice_, buffer);
      if (++next_slice_ == a_.slices) next_slice_ = 0, ++next_tile_;
    }
    commit_copies();
  }

  __device__ __forceinline__ void load_thresholds() {
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::int32_t query = members_[first_query_ + m * 16 + half * 8 + lane_ / 4];
        thresholds_[m][half] = query < 0 ? INFINITY : a_.thresholds[query];
      }
  }

  // What the sums with a tile's vector of this thread's number begin with; nothing passes behind
  // the last one.
  __device__ __forceinline__ float start_of(int tile) const {
    const int at = tile * kScanTile + thread_;
    return at < task_.rows ? a_.starts[task_.first + at] : -INFINITY;
  }

  // The vector of the task, of column `i` of a lane's two.
  __device__ __forceinline__ int vector_of(int tile, int n, int i) const {
    return tile * kScanTile + first_vector_ + n * 8 + lane_ % 4 * 2 + i;
  }

  __device__ __forceinline__ void begin_tile(int tile) {
    const float* starts = starts_ + tile % 2 * kScanTile + first_vector_ + lane_ % 4 * 2;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const float2 two = *reinterpret_cast<const float2*>(starts + n * 8);
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        sums_[m][n][0] = sums_[m][n][2] = two.x;
        sums_[m][n][1] = sums_[m][n][3] = two.y;
      }
    }
  }

  __device__ __forceinline__ void multiply(const bf16* queries, const bf16* vectors) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int chunk = half * 4 + lane_ % 4;
      uint4 rows[4][2];
#pragma unroll
      for (int m = 0; m < 4; ++m)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          rows[m][i] = chunk_at(queries, first_query_ + m * 16 + i * 8 + lane_ / 4, chunk);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const uint4 column = chunk_at(vectors, first_vector_ + n * 8 + lane_ / 4, chunk);
#pragma unroll
        for (int m = 0; m < 4; ++m) {
          mma_bf16_16x8x16(sums_[m][n], {rows[m][0].x, rows[m][1].x, rows[m][0].y, rows[m][1].y},
                           {column.x, column.y});
          mma_bf16_16x8x16(sums_[m][n], {rows[m][0].z, rows[m][1].z, rows[m][0].w, rows[m][1].w},
                           {column.z, column.w});
        }
      }
    }
  }

  __device__ __forceinline__ static uint4 chunk_at(const bf16* slice, int row, int chunk) {
    return *reinterpret_cast<const uint4*>(slice + place_of(row, chunk));
  }

  // A sum that is no number passes.
  __device__ __forceinline__ bool passes(int m, int n, int i) const {
    return !(sums_[m][n][i] < thresholds_[m][i / 2]);
  }

  __device__ __forceinline__ void keep_passing(int tile) {
    bool any = false;
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) any |= passes(m, n, i);
    if (!any) return;
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (passes(m, n, i)) keep(m * 16 + i / 2 * 8, vector_of(tile, n, i % 2));
  }

  __device__ __forceinline__ void keep(int row, int vector) {
    const std::int32_t query = members_[first_query_ + row + lane_ / 4];
    if (query < 0 || vector >= task_.rows) return;
    const std::int32_t place = atomicAdd(&a_.counts[query], 1);
    if (place < a_.room)
      a_.survivors[std::int64_t(query) * a_.room + place] = std::int32_t(task_.first + vector);
  }

  const TileArguments& a_;
  const TileTask& task_;
  std::int32_t* members_;
  float* starts_;  // [2][kScanTile]: this tile's and the next one's
  bf16 *queries_, *vectors_;
  int thread_, lane_, first_query_, first_vector_;
  int next_tile_ = 0, next_slice_ = 0;
  float thresholds_[4][2];
  float sums_[4][8][4];
};

template <bool resident>
__global__ void __launch_bounds__(kScanThreads, 2) scan_tiles_kernel(TileArguments arguments) {
  if (arguments.count != nullptr && std::int32_t(blockIdx.x) >= *arguments.count) return;
  const TileTask task = arguments.tasks[blockIdx.x];
  TileScan<resident>(arguments, task).run();
}

template <bool resident>
void run(const TileArguments& arguments, std::int64_t tasks, cudaStream_t stream) {
  const int slices = (resident ? arguments.slices : kStages) + kStages;
  const std::size_t shared = kFrontBytes + std::size_t(slices) * kSliceSize * sizeof(bf16);
  allow_shared(scan_tiles_kernel<resident>, shared);
  launch({dim3(unsigned(tasks)), dim3(kScanThreads), shared}, stream, scan_tiles_kernel<resident>,
         arguments);
}

}  // namespace

void scan_tiles(const TileArguments& arguments, std::int64_t tasks, cudaStream_t stream) {
  if (tasks == 0) return;
  if (arguments.slices <= kMostResident)
    run<true>(arguments, tasks, stream);
  else
    run<false>(arguments, tasks, stream);
}

}  // namespace tutti::cuda
