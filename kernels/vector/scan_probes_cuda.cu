#include <cuda_instructions.h>

#include "kernels/cuda/launch.h"
#include "kernels/vector/scan_kernels_cuda.h"

namespace tutti::cuda {
namespace {

constexpr int kThreads = 256, kPlanThreads = 1024;

// The list that query and column of a thread name; -1 where there is none.
__device__ __forceinline__ int list_of(const ProbeArguments& a, std::int64_t pair) {
  const int columns = a.end - a.begin;
  const int list = a.probes[pair / columns * a.columns + a.begin + pair % columns];
  return list < a.lists ? list : -1;
}

__global__ void count_kernel(ProbeArguments a) {
  const std::int64_t pair = std::int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (pair >= a.queries * (a.end - a.begin)) return;
  if (const int list = list_of(a, pair); list >= 0) atomicAdd(&a.sizes[list], 1);
}

// How many rows of a list from `skip` on.
__device__ __forceinline__ std::int32_t rows_of(const ProbeArguments& a, int list) {
  const std::int64_t rows = a.starts[list + 1] - a.starts[list];
  return std::int32_t(min(rows, a.until) - min(rows, a.skip));
}

__device__ __forceinline__ unsigned tasks_of(const ProbeArguments& a, int list) {
  return unsigned((a.sizes[list] + kScanTile - 1) / kScanTile *
                  ((rows_of(a, list) + a.run - 1) / a.run));
}

// Where each list's members and tasks begin: one block, each thread of which has a run of lists.
__global__ void place_kernel(ProbeArguments a) {
  auto* sums = dynamic_shared<uint2>();  // members and tasks, of a thread's lists and those before
  const int thread = int(threadIdx.x), each = (a.lists + kPlanThreads - 1) / kPlanThreads;
  const int begin = min(thread * each, a.lists), end = min(begin + each, a.lists);
  uint2 mine = make_uint2(0, 0);
  for (int list = begin; list < end; ++list)
    mine.x += unsigned(a.sizes[list]), mine.y += tasks_of(a, list);
  sums[thread] = mine;
  __syncthreads();
  for (int apart = 1; apart < kPlanThreads; apart *= 2) {
    const uint2 before = thread >= apart ? sums[thread - apart] : make_uint2(0, 0);
    __syncthreads();
    sums[thread].x += before.x, sums[thread].y += before.y;
    __syncthreads();
  }
  uint2 place = make_uint2(sums[thread].x - mine.x, sums[thread].y - mine.y);
  for (int list = begin; list < end; ++list) {
    a.places[list] = std::int32_t(place.x);
    a.task_places[list] = std::int32_t(place.y);
    place.x += unsigned(a.sizes[list]), place.y += tasks_of(a, list);
  }
  if (thread == kPlanThreads - 1) *a.task_count = std::int32_t(sums[thread].y);
}

// Lists' tasks; those side by side have the same vectors.
__global__ void task_kernel(ProbeArguments a) {
  const int list = int(blockIdx.x * kThreads + threadIdx.x);
  if (list >= a.lists) return;
  const std::int64_t first = a.starts[list] + a.skip;
  const std::int32_t rows = rows_of(a, list);
  TileTask* task = a.tasks + a.task_places[list];
  for (std::int32_t row = 0; row < rows; row += a.run)
    for (std::int32_t m = 0; m < a.sizes[list]; m += kScanTile)
      *task++ = {first + row, min(a.run, rows - row), a.places[list] + m,
                 min(kScanTile, a.sizes[list] - m)};
}

// In the order in which they come: it decides nothing.
__global__ void member_kernel(ProbeArguments a) {
  const std::int64_t pair = std::int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (pair >= a.queries * (a.end - a.begin)) return;
  if (const int list = list_of(a, pair); list >= 0)
    a.members[atomicAdd(&a.places[list], 1)] = std::int32_t(pair / (a.end - a.begin));
}

LaunchShape by_threads(std::int64_t count) {
  return {dim3(unsigned(ceil_div(count, kThreads))), dim3(kThreads)};
}

}  // namespace

void plan_probes(const ProbeArguments& arguments, cudaStream_t stream) {
  const std::int64_t pairs = arguments.queries * (arguments.end - arguments.begin);
  check(cudaMemsetAsync(arguments.sizes, 0, std::size_t(arguments.lists) * sizeof(std::int32_t),
                        stream),
        "cudaMemsetAsync");
  launch(by_threads(pairs), stream, count_kernel, arguments);
  launch({dim3(1), dim3(kPlanThreads), kPlanThreads * sizeof(uint2)}, stream, place_kernel,
         arguments);
  launch(by_threads(arguments.lists), stream, task_kernel, arguments);
  launch(by_threads(pairs), stream, member_kernel, arguments);
}

}  // namespace tutti::cuda
