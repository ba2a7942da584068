#include "kernels/core/arena.h"

#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace tutti {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// The largest small page of any machine: what is behind the last whole huge page is counted in it.
[[maybe_unused]] constexpr std::size_t kPage = std::size_t{64} << 10;

// What is worth pages of its own.
[[maybe_unused]] constexpr std::size_t kLarge = 2 * kHugePage;

template <class Integer>
Integer round_up(Integer value, Integer step) {
  return (value + step - 1) / step * step;
}

void* allocate_small(std::size_t bytes) {
  const std::size_t rounded = round_up(bytes, std::size_t{64});
  void* memory = std::aligned_alloc(64, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return std::memset(memory, 0, rounded);
}

void check_view(const Parameter& parameter, std::size_t size) {
  if (static_cast<std::uint64_t>(parameter.offset + parameter.size) > size)
    throw std::invalid_argument("arena too short for parameter '" + parameter.name + "'");
}

}  // namespace

namespace detail {

#ifdef __linux__

// Fresh pages are zero already, and stand where the thread is that first writes to them. More is
// mapped than is needed and cut off again, so that huge pages begin where the memory does.
void* allocate_zeroed(std::size_t bytes) {
  if (bytes < kLarge) return allocate_small(bytes);
  const std::size_t rounded = round_up(bytes, kPage), mapped = rounded + kHugePage;
  void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(pages);
  const std::size_t before = round_up(reinterpret_cast<std::uintptr_t>(begin), kHugePage) -
                             reinterpret_cast<std::uintptr_t>(begin);
  if (before > 0) munmap(begin, before);
  munmap(begin + before + rounded, mapped - before - rounded);
  // A hint: rows of activations are pages apart, and with small pages each would cost an address
  // translation.
  madvise(begin + before, rounded, MADV_HUGEPAGE);
  return begin + before;
}

void release(void* memory, std::size_t bytes) {
  if (bytes < kLarge)
    std::free(memory);
  else
    munmap(memory, round_up(bytes, kPage));
}

void discard(void* memory, std::size_t bytes, std::size_t begin, std::size_t end) {
  if (bytes < kLarge) return;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  begin = round_up(begin, page);
  end = end == bytes ? round_up(end, page) : end / page * page;
  // A hint as well: what stays in memory is no error.
  if (begin < end) madvise(static_cast<std::byte*>(memory) + begin, end - begin, MADV_DONTNEED);
}

#else

void* allocate_zeroed(std::size_t bytes) { return allocate_small(bytes); }
void release(void* memory, std::size_t) { std::free(memory); }
void discard(void*, std::size_t, std::size_t, std::size_t) {}

#endif

}  // namespace detail

std::int64_t ArenaLayout::add(std::string name, std::vector<std::int64_t> shape, bool decay) {
  if (shape.empty()) throw std::invalid_argument("parameter '" + name + "' has no shape");
  for (const Parameter& other : parameters_)
    if (other.name == name) throw std::invalid_argument("parameter '" + name + "' exists already");
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 1) throw std::invalid_argument("parameter '" + name + "' has an empty extent");
    size *= extent;
  }
  const std::int64_t offset = round_up(used_size(), kParameterAlignment);
  parameters_.push_back({std::move(name), std::move(shape), offset, size, decay});
  return static_cast<std::int64_t>(parameters_.size()) - 1;
}

const Parameter& ArenaLayout::find(std::string_view name) const {
  for (const Parameter& parameter : parameters_)
    if (parameter.name == name) return parameter;
  throw std::invalid_argument("no parameter is called '" + std::string(name) + "'");
}

std::int64_t ArenaLayout::used_size() const {
  return parameters_.empty() ? 0 : parameters_.back().offset + parameters_.back().size;
}

std::int64_t ArenaLayout::padded_size() const { return round_up(used_size(), kArenaBlock); }

std::span<float> view_of(const Parameter& parameter, std::span<float> arena) {
  check_view(parameter, arena.size());
  return arena.subspan(parameter.offset, parameter.size);
}

std::span<const float> view_of(const Parameter& parameter, std::span<const float> arena) {
  check_view(parameter, arena.size());
  return arena.subspan(parameter.offset, parameter.size);
}

}  // namespace tutti
