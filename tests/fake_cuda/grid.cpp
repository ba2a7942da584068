// A launch: blocks one after another, the threads of each as fibers.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "tests/fake_cuda/cuda_runtime.h"
#include "tests/fake_cuda/fibers.h"
#include "tests/fake_cuda/memory.h"

// Here, these are members of a launch's configuration.
#undef blockDim
#undef gridDim

namespace fake_cuda {
namespace {

constexpr std::size_t kSharedWithoutAsking = 48 << 10, kSharedAtMost = 163 << 10;  // of sm_80
constexpr std::size_t kSlot = 64;  // bytes that a lane may bring to a collective

struct Collective {
  const char* name = nullptr;
  unsigned mask = 0, arrived = 0, readers = 0;
  std::size_t bytes = 0;
  alignas(16) std::array<std::byte, 32 * kSlot> values;
};

struct Copy {
  std::byte* to;
  std::vector<std::byte> bytes;
  unsigned group;
};

struct Thread {
  std::unique_ptr<Fiber> fiber = std::make_unique<Fiber>();
  Place place;
  unsigned lane = 0, warp = 0;
  bool alive = false, at_barrier = false;
  const Collective* waits_for = nullptr;
  Collective* reads = nullptr;
  std::vector<Copy> copies;
  unsigned groups = 0;  // of copies, committed so far
};

struct Warp {
  std::deque<Collective> collectives;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<std::byte> shared;
  std::size_t shared_bytes = 0;
  unsigned live = 0, waiting = 0;
};

// One launch at a time in a thread of the system.
thread_local Block block;
thread_local Thread* current = nullptr;
thread_local std::uint64_t launches = 0;
std::map<const void*, std::size_t> shared_limits;

[[noreturn]] void fail(const char* what, const char* name = "") {
  std::fprintf(stderr, "fake CUDA: %s %s\n", what, name);
  std::abort();
}

std::byte* shared_begin() {
  const auto address = reinterpret_cast<std::uintptr_t>(block.shared.data());
  return block.shared.data() + (128 - address % 128) % 128;
}

// In a block of `count` threads, poisoned shared memory behind them.
void prepare_block(unsigned count, std::size_t shared_bytes) {
  while (block.threads.size() < count) block.threads.emplace_back();
  block.warps.resize(std::max<std::size_t>(block.warps.size(), (count + 31) / 32));
  for (Warp& warp : block.warps) warp.collectives.clear();
  block.shared_bytes = shared_bytes;
  if (block.shared.size() < shared_bytes + 256) block.shared.resize(shared_bytes + 256);
  poison(shared_begin(), shared_bytes + 64);
  block.live = count;
  block.waiting = 0;
}

void start_threads(const cudaLaunchConfig_t& config, uint3 index,
                   const std::function<void()>& work) {
  const dim3 size = config.blockDim;
  unsigned i = 0;
  for (unsigned z = 0; z < size.z; ++z)
    for (unsigned y = 0; y < size.y; ++y)
      for (unsigned x = 0; x < size.x; ++x, ++i) {
        Thread& thread = block.threads[i];
        thread.place = {{x, y, z}, index, size, config.gridDim};
        thread.lane = i % 32;
        thread.warp = i / 32;
        thread.alive = true;
        thread.at_barrier = false;
        thread.waits_for = nullptr;
        thread.copies.clear();
        thread.groups = 0;
        thread.fiber->start(work);
      }
}

bool step(Thread& thread) {
  if (!thread.alive || thread.at_barrier || thread.waits_for != nullptr) return false;
  current = &thread;
  thread.alive = thread.fiber->resume();
  current = nullptr;
  if (thread.alive) return true;
  if (!thread.copies.empty()) fail("a thread ends with copies under way");
  --block.live;
  return true;
}

void release_barrier(unsigned count) {
  if (block.waiting == 0 || block.waiting < block.live) return;
  for (unsigned i = 0; i < count; ++i) block.threads[i].at_barrier = false;
  block.waiting = 0;
}

void run_block(const cudaLaunchConfig_t& config, uint3 index, const std::function<void()>& work) {
  const unsigned count = config.blockDim.x * config.blockDim.y * config.blockDim.z;
  prepare_block(count, config.dynamicSmemBytes);
  start_threads(config, index, work);
  const bool downwards = launches % 2 == 1;
  while (block.live > 0) {
    bool moved = false;
    for (unsigned i = 0; i < count; ++i)
      moved |= step(block.threads[downwards ? count - 1 - i : i]);
    if (!moved && block.waiting < block.live)
      fail(
          "the threads of a block wait for each other: at a barrier or a collective that not all "
          "of them reach");
    release_barrier(count);
  }
  if (!is_poison(shared_begin() + config.dynamicSmemBytes, 64))
    fail("a kernel wrote behind its shared memory");
}

cudaError_t check(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 &block_size = config.blockDim, &grid = config.gridDim;
  const auto limit = shared_limits.find(kernel);
  const std::size_t shared = limit == shared_limits.end() ? kSharedWithoutAsking : limit->second;
  const std::size_t threads = std::size_t(block_size.x) * block_size.y * block_size.z;
  const bool fits = threads >= 1 && threads <= 1024 && block_size.z <= 64 && grid.x >= 1 &&
                    grid.y >= 1 && grid.z >= 1 && grid.y < 65536 && grid.z < 65536 &&
                    grid.x < (1u << 31) && config.dynamicSmemBytes <= shared;
  return fits ? cudaSuccess : cudaErrorInvalidValue;
}

Collective& pending_collective(Warp& warp, const char* name, unsigned mask, std::size_t bytes) {
  Collective* free = nullptr;
  for (Collective& c : warp.collectives) {
    if (c.arrived != 0 && c.mask == mask) {
      if (std::strcmp(c.name, name) != 0 || c.bytes != bytes)
        fail("lanes of a warp meet in different calls:", name);
      return c;
    }
    if (c.arrived == 0 && c.readers == 0) free = &c;
  }
  if (free == nullptr) free = &warp.collectives.emplace_back();
  free->name = name;
  free->mask = mask;
  free->bytes = bytes;
  return *free;
}

void apply_copies(Thread& thread, unsigned groups) {
  std::erase_if(thread.copies, [&](const Copy& copy) {
    if (copy.group >= groups) return false;
    std::memcpy(copy.to, copy.bytes.data(), copy.bytes.size());
    return true;
  });
}

}  // namespace

const Place& place() { return current->place; }
unsigned lane() { return current->lane; }
std::byte* dynamic_shared() { return shared_begin(); }

void block_barrier() {
  Thread& thread = *current;
  thread.at_barrier = true;
  ++block.waiting;
  thread.fiber->pause();
}

const std::byte* meet(const char* name, unsigned mask, const void* mine, std::size_t bytes) {
  Thread& thread = *current;
  if (bytes > kSlot) fail("too many bytes in", name);
  if ((mask >> thread.lane & 1) == 0) fail("a lane outside the mask calls", name);
  Collective& c = pending_collective(block.warps[thread.warp], name, mask, bytes);
  std::memcpy(c.values.data() + thread.lane * bytes, mine, bytes);
  c.arrived |= 1u << thread.lane;
  thread.reads = &c;
  thread.waits_for = &c;
  if (c.arrived == c.mask) {
    c.readers = c.mask;
    c.arrived = 0;
    for (unsigned i = 0; i < 32; ++i)
      if ((mask >> i & 1) != 0) block.threads[thread.warp * 32 + i].waits_for = nullptr;
  } else {
    thread.fiber->pause();
  }
  return c.values.data();
}

void end_collective() { current->reads->readers &= ~(1u << current->lane); }

cudaError_t run_grid(const cudaLaunchConfig_t& config, const void* kernel,
                     const std::function<void()>& work) {
  if (const cudaError_t error = check(config, kernel); error != cudaSuccess) return error;
  const DeviceAccess access;
  for (unsigned z = 0; z < config.gridDim.z; ++z)
    for (unsigned y = 0; y < config.gridDim.y; ++y)
      for (unsigned x = 0; x < config.gridDim.x; ++x) run_block(config, {x, y, z}, work);
  ++launches;
  return cudaSuccess;
}

void allow_shared(const void* kernel, std::size_t bytes) {
  if (bytes > kSharedAtMost) fail("a kernel asks for more shared memory than sm_80 has");
  shared_limits[kernel] = bytes;
}

void start_copy(void* to, const void* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % bytes != 0)
    fail("an asynchronous copy is not aligned to its size");
  Copy copy{static_cast<std::byte*>(to), std::vector<std::byte>(bytes), current->groups};
  std::memcpy(copy.bytes.data(), from, bytes);
  poison(to, bytes);
  current->copies.push_back(std::move(copy));
}

void commit_copies() { ++current->groups; }

void wait_copies(unsigned groups_left) {
  const unsigned groups = current->groups;
  apply_copies(*current, groups > groups_left ? groups - groups_left : 0);
}

}  // namespace fake_cuda
