// The device's memory and what else there is to ask it. What the machine pretends to have comes
// from the environment: FAKE_CUDA_DEVICES (their number, or names separated by commas),
// FAKE_CUDA_MEMORY (bytes of each), FAKE_CUDA_DRIVER (its version, 0 for none), FAKE_CUDA_LOST (the
// number of copies after which the device is gone).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <sys/mman.h>

#include "tests/fake_cuda/cuda_runtime.h"
#include "tests/fake_cuda/memory.h"

struct CUstream_st {};
struct CUevent_st {};

namespace fake_cuda {
namespace {

constexpr std::size_t kReserved = std::size_t(64) << 30, kGuard = 256;
constexpr std::uint16_t kPoison = 0x7fc0;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fake CUDA: %s\n", what);
  std::abort();
}

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoll(text) : otherwise;
}

std::vector<std::string> device_names() {
  const char* text = std::getenv("FAKE_CUDA_DEVICES");
  const std::string list = text != nullptr ? text : "1";
  std::vector<std::string> names;
  if (list.find_first_not_of("0123456789") == std::string::npos) {
    names.assign(std::size_t(std::atoi(list.c_str())), "Fake GPU");
    return names;
  }
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    names.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

// All of a process's device memory: a range of addresses that is closed but under DeviceAccess.
class Memory {
 public:
  Memory()
      : total_(std::size_t(setting("FAKE_CUDA_MEMORY", std::int64_t(1) << 30))),
        base_(static_cast<std::byte*>(mmap(nullptr, kReserved, PROT_NONE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    if (base_ == MAP_FAILED) fail("no address space for the device's memory");
  }

  void open() {
    const std::lock_guard lock(mutex_);
    if (users_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) protect(PROT_NONE);
  }

  std::byte* allocate(std::size_t bytes) {
    if (used_ + bytes > total_) return nullptr;
    const std::size_t whole = (bytes + 3 * kGuard - 1) / kGuard * kGuard;
    const std::size_t at = find_room(whole);
    blocks_[at] = {whole, bytes};
    used_ += bytes;
    const DeviceAccess access;
    poison(base_ + at, whole);
    return base_ + at + kGuard;
  }

  void free(std::byte* memory) {
    const auto it = blocks_.find(std::size_t(memory - base_) - kGuard);
    if (it == blocks_.end()) fail("cudaFree of what is no device memory");
    const auto [whole, bytes] = it->second;
    {
      const DeviceAccess access;
      const std::size_t even = (bytes + 1) / 2 * 2;  // poison is of two bytes
      if (!is_poison(memory - kGuard, kGuard) || !is_poison(memory + even, whole - kGuard - even))
        fail("something wrote in front of or behind a buffer of device memory");
    }
    used_ -= bytes;
    blocks_.erase(it);
  }

  std::size_t total() const { return total_; }
  std::size_t unused() const { return total_ - used_; }

 private:
  struct Block {
    std::size_t whole, bytes;
  };

  std::size_t find_room(std::size_t whole) const {
    std::size_t at = 0;
    for (const auto& [begin, block] : blocks_) {
      if (begin - at >= whole) return at;
      at = begin + block.whole;
    }
    return at;
  }
  void protect(int protection) const {
    if (mprotect(base_, kReserved, protection) != 0) fail("mprotect failed");
  }

  const std::size_t total_;
  std::byte* const base_;
  std::mutex mutex_;
  int users_ = 0;
  std::map<std::size_t, Block> blocks_;
  std::size_t used_ = 0;
};

Memory& memory() {
  static Memory instance;
  return instance;
}

std::int64_t calls_until_lost = setting("FAKE_CUDA_LOST", -1);

// Counts a copy; tells whether the device has gone.
bool lost() {
  if (calls_until_lost > 0) --calls_until_lost;
  return calls_until_lost == 0;
}

}  // namespace

bool device_lost() { return lost(); }

void poison(void* to, std::size_t bytes) {
  auto* words = static_cast<std::byte*>(to);
  for (std::size_t i = 0; i + 1 < bytes; i += 2) std::memcpy(words + i, &kPoison, 2);
}

bool is_poison(const void* from, std::size_t bytes) {
  const auto* words = static_cast<const std::byte*>(from);
  for (std::size_t i = 0; i + 1 < bytes; i += 2)
    if (std::memcmp(words + i, &kPoison, 2) != 0) return false;
  return true;
}

DeviceAccess::DeviceAccess() { memory().open(); }
DeviceAccess::~DeviceAccess() { memory().close(); }

}  // namespace fake_cuda

namespace {

cudaError_t copy(void* to, const void* from, std::size_t bytes) {
  if (fake_cuda::device_lost()) return cudaErrorLaunchFailure;
  const fake_cuda::DeviceAccess access;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    default:
      return "cudaErrorInvalidValue";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = int(fake_cuda::setting("FAKE_CUDA_DRIVER", 13000));
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  int driver = 0;
  (void)cudaDriverGetVersion(&driver);
  *count = 0;
  if (driver < 13000) return cudaErrorInsufficientDriver;
  *count = int(fake_cuda::device_names().size());
  return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const std::vector<std::string> names = fake_cuda::device_names();
  if (device < 0 || device >= int(names.size())) return cudaErrorInvalidDevice;
  *properties = {};
  names[std::size_t(device)].copy(properties->name, sizeof(properties->name) - 1);
  properties->totalGlobalMem = fake_cuda::memory().total();
  properties->major = 9;
  properties->multiProcessorCount = 3;
  properties->pciBusID = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device < int(fake_cuda::device_names().size()) ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = fake_cuda::memory().unused();
  *total = fake_cuda::memory().total();
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** to, std::size_t bytes) {
  *to = fake_cuda::memory().allocate(bytes);
  return *to != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* from) {
  if (from != nullptr) fake_cuda::memory().free(static_cast<std::byte*>(from));
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** to, std::size_t bytes, unsigned) {
  *to = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*to != nullptr) fake_cuda::poison(*to, bytes);
  return *to != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* from) {
  std::free(from);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  return copy(to, from, bytes);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  const fake_cuda::DeviceAccess access;
  std::memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}
