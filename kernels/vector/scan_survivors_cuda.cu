#include "kernels/cuda/launch.h"
#include "kernels/vector/elements_cuda.h"
#include "kernels/vector/scan_kernels_cuda.h"
#include "kernels/vector/top_k.h"

namespace tutti::cuda {
namespace {

constexpr int kMeasureThreads = 128, kKeepThreads = 256;

// The chain of reference::distance. Behind the last dimension both are zero, which changes nothing.
template <class T>
__device__ float measure(const float* query, const unsigned char* vector, std::int64_t dim,
                         Metric metric) {
  const auto* packets = reinterpret_cast<const uint4*>(vector);
  float sum = 0;
  for (std::int64_t j = 0; j < dim; j += kPacket<T>) {
    float values[kPacket<T>];
    unpack<T>(packets[j / kPacket<T>], values);
#pragma unroll
    for (int i = 0; i < kPacket<T>; ++i) {
      const float t = query[j + i] - values[i];
      sum = metric == Metric::l2 ? fmaf(t, t, sum) : fmaf(query[j + i], values[i], sum);
    }
  }
  if (metric == Metric::l2) return sum;
  return (metric == Metric::cosine ? 1.0f : 0.0f) - sum;
}

// A block has a query, a thread a survivor at a time.
template <class T>
__global__ void measure_kernel(ScanRows queries, ScanRows vectors, Metric metric,
                               SurvivorArguments a) {
  const std::int64_t query = blockIdx.x, first = query * a.room;
  const int count = min(a.counts[query], a.room);
  const auto* values = reinterpret_cast<const float*>(queries.rows + query * queries.row_bytes);
  for (int i = int(threadIdx.x); i < count; i += kMeasureThreads)
    a.distances[first + i] = measure<T>(
        values, vectors.rows + a.survivors[first + i] * vectors.row_bytes, vectors.dim, metric);
}

__device__ __forceinline__ bool comes_before(float a, std::int64_t a_id, float b,
                                             std::int64_t b_id) {
  // Padding's id is the largest there is.
  return a != b ? a < b : static_cast<std::uint64_t>(a_id) < static_cast<std::uint64_t>(b_id);
}

// Sorts `size` pairs, a power of two, by a whole block.
__device__ void sort_pairs(float* distances, std::int64_t* ids, int size) {
  for (int run = 2; run <= size; run *= 2)
    for (int apart = run / 2; apart > 0; apart /= 2) {
      __syncthreads();
      for (int i = int(threadIdx.x); i < size / 2; i += kKeepThreads) {
        const int low = i / apart * apart * 2 + i % apart, high = low + apart;
        const bool ascending = (low & run) == 0;
        if (comes_before(distances[high], ids[high], distances[low], ids[low]) != ascending)
          continue;
        const float distance = distances[low];
        const std::int64_t id = ids[low];
        distances[low] = distances[high], ids[low] = ids[high];
        distances[high] = distance, ids[high] = id;
      }
    }
  __syncthreads();
}

// What a query keeps and what came out of the tiles, side by side. Returns how many.
__device__ int gather(const SurvivorArguments& a, std::int64_t query, int count, float* distances,
                      std::int64_t* ids, int* size) {
  const int kept = a.kept[query];
  if (threadIdx.x == 0) *size = kept;
  for (int i = int(threadIdx.x); i < kept; i += kKeepThreads) {
    distances[i] = a.kept_distances[query * a.k + i];
    ids[i] = a.kept_ids[query * a.k + i];
  }
  __syncthreads();
  for (int i = int(threadIdx.x); i < count; i += kKeepThreads) {
    const float distance = a.distances[query * a.room + i];
    if (!(distance <= a.limits[query])) continue;
    const int place = atomicAdd(size, 1);
    distances[place] = distance;
    ids[place] = a.ids[a.survivors[query * a.room + i]];
  }
  __syncthreads();
  return *size;
}

__global__ void keep_kernel(SurvivorArguments a, int most) {
  auto* ids = dynamic_shared<std::int64_t>();
  auto* distances = reinterpret_cast<float*>(ids + most);
  int* gathered = reinterpret_cast<int*>(distances + most);
  const std::int64_t query = blockIdx.x;
  const int count = a.counts[query];
  const bool overflowed = count > a.room;
  if (count == 0) {
    if (threadIdx.x == 0) a.overflowed[query] = 0;
    return;
  }
  const int size = gather(a, query, min(count, a.room), distances, ids, gathered);
  int padded = 1;
  while (padded < size) padded *= 2;
  for (int i = size + int(threadIdx.x); i < padded; i += kKeepThreads)
    distances[i] = INFINITY, ids[i] = -1;
  sort_pairs(distances, ids, padded);
  const int kept = min(size, a.k);
  if (!overflowed)
    for (int i = int(threadIdx.x); i < kept; i += kKeepThreads) {
      a.kept_distances[query * a.k + i] = distances[i];
      a.kept_ids[query * a.k + i] = ids[i];
    }
  if (threadIdx.x != 0) return;
  if (size >= a.k && distances[a.k - 1] < a.limits[query]) a.limits[query] = distances[a.k - 1];
  if (!overflowed) a.kept[query] = kept;
  a.overflowed[query] = overflowed;
  if (overflowed) atomicAdd(a.overflows, 1);
  a.counts[query] = 0;
}

}  // namespace

void measure_survivors(const ScanRows& queries, const ScanRows& vectors, Metric metric,
                       const SurvivorArguments& arguments, cudaStream_t stream) {
  if (queries.count == 0) return;
  with_element(vectors.type, [&](auto element) {
    launch({dim3(unsigned(queries.count)), dim3(kMeasureThreads)}, stream,
           measure_kernel<decltype(element)>, queries, vectors, metric, arguments);
  });
}

void keep_nearest(const SurvivorArguments& arguments, std::int64_t queries, cudaStream_t stream) {
  if (queries == 0) return;
  int most = 1;
  while (most < arguments.k + arguments.room) most *= 2;
  const std::size_t shared =
      std::size_t(most) * (sizeof(std::int64_t) + sizeof(float)) + sizeof(int);
  allow_shared(keep_kernel, shared);
  launch({dim3(unsigned(queries)), dim3(kKeepThreads), shared}, stream, keep_kernel, arguments,
         most);
}

}  // namespace tutti::cuda
