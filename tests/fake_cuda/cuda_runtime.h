// CUDA as the kernels use it, on the CPU: the same names as NVIDIA's header, so that a .cu file
// compiles as plain C++ and its logic runs where there is no GPU.
//
// A launch runs its blocks one after another. The threads of a block are fibers of one thread of
// the system; they change at barriers and warp collectives alone, upwards in one launch, downwards
// in the next, so that a missing barrier shows. Streams do everything at once. Device memory starts
// as NaN, has guards on both sides, and cannot be read or written outside of kernels and copies.
// Whatever a GPU would not forgive (a barrier that not all threads reach, a write into a guard)
// ends the process with a message.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static thread_local

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor, multiProcessorCount, computeMode;
  int pciBusID, pciDeviceID, pciDomainID;
};
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  struct CUstream_st* stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDefault = 0,
                          cudaEventDisableTiming = 2, cudaHostAllocDefault = 0;

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);

namespace fake_cuda {

// While one lives, this process may touch device memory. Kernels and copies run under one.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

struct Place {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
// Of the thread that runs.
const Place& place();
std::byte* dynamic_shared();
unsigned lane();

void block_barrier();

// Every lane of `mask` brings `bytes` bytes of `mine`; returns all lanes' values, `bytes` apart,
// once all are there. They stay until end_collective(). `name` must be the same for all.
const std::byte* meet(const char* name, unsigned mask, const void* mine, std::size_t bytes);
void end_collective();

// `read` makes a lane's result of all lanes' values.
template <class T, class Read>
auto collective(const char* name, unsigned mask, const T& mine, Read&& read) {
  const T* all = reinterpret_cast<const T*>(meet(name, mask, &mine, sizeof(T)));
  const auto result = read(all);
  end_collective();
  return result;
}

cudaError_t run_grid(const cudaLaunchConfig_t& config, const void* kernel,
                     const std::function<void()>& thread);
void allow_shared(const void* kernel, std::size_t bytes);

// Copies that arrive no sooner than the thread waits for them; until then, the target is NaN.
void start_copy(void* to, const void* from, std::size_t bytes);
void commit_copies();
void wait_copies(unsigned groups_left);

}  // namespace fake_cuda

#define threadIdx (::fake_cuda::place().thread)
#define blockIdx (::fake_cuda::place().block)
#define blockDim (::fake_cuda::place().block_size)
#define gridDim (::fake_cuda::place().grid_size)
inline constexpr int warpSize = 32;

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...),
                               A&&... args) {
  const std::tuple<P...> values(std::forward<A>(args)...);
  return fake_cuda::run_grid(*config, reinterpret_cast<const void*>(kernel),
                             [&] { std::apply(kernel, values); });
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  fake_cuda::allow_shared(reinterpret_cast<const void*>(kernel), std::size_t(value));
  return cudaSuccess;
}

inline void __syncthreads() { fake_cuda::block_barrier(); }
inline void __threadfence() {}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  fake_cuda::collective("__syncwarp", mask, 0, [](const int*) { return 0; });
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int base = int(fake_cuda::lane()) / width * width;
  return fake_cuda::collective("__shfl_sync", mask, value,
                               [&](const T* all) { return all[base + source % width]; });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int mine = int(fake_cuda::lane()), from = mine ^ lanes;
  return fake_cuda::collective("__shfl_xor_sync", mask, value, [&](const T* all) {
    return all[from / width == mine / width ? from : mine];
  });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int mine = int(fake_cuda::lane()), from = mine + int(delta);
  return fake_cuda::collective("__shfl_down_sync", mask, value, [&](const T* all) {
    return all[from / width == mine / width ? from : mine];
  });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const int mine = int(fake_cuda::lane()), from = mine - int(delta);
  return fake_cuda::collective("__shfl_up_sync", mask, value, [&](const T* all) {
    return all[from >= mine / width * width ? from : mine];
  });
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return fake_cuda::collective("__ballot_sync", mask, predicate, [&](const int* all) {
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i)
      if ((mask >> i & 1) != 0 && all[i] != 0) bits |= 1u << i;
    return bits;
  });
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline float __int_as_float(int x) {
  float y;
  std::memcpy(&y, &x, 4);
  return y;
}
inline int __float_as_int(float x) {
  int y;
  std::memcpy(&y, &x, 4);
  return y;
}
inline unsigned __float_as_uint(float x) { return unsigned(__float_as_int(x)); }
inline float __uint_as_float(unsigned x) { return __int_as_float(int(x)); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __ldg(const float* x) { return *x; }
template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}

// Of integers alone: sums of floats have a fixed order.
template <class T>
T atomicAdd(T* at, T value) {
  static_assert(std::is_integral_v<T>);
  return std::exchange(*at, T(*at + value));
}
template <class T>
T atomicMin(T* at, T value) {
  return std::exchange(*at, min(*at, value));
}
template <class T>
T atomicMax(T* at, T value) {
  return std::exchange(*at, max(*at, value));
}
template <class T>
T atomicCAS(T* at, T expected, T value) {
  return std::exchange(*at, *at == expected ? value : *at);
}
