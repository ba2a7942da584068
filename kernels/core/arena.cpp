#include "kernels/core/arena.h"

#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace tutti {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Rows of activations are pages apart: with small pages each row would cost an address translation.
void ask_for_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: nothing is lost where it fails
#endif
}

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

void check_view(const Parameter& parameter, std::size_t size) {
  if (static_cast<std::uint64_t>(parameter.offset + parameter.size) > size)
    throw std::invalid_argument("arena too short for parameter '" + parameter.name + "'");
}

}  // namespace

namespace detail {

void* allocate_zeroed(std::size_t bytes) {
  const bool large = bytes >= 2 * kHugePage;
  const std::size_t alignment = large ? kHugePage : 64;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  if (large) ask_for_huge_pages(memory, rounded);
  std::memset(memory, 0, rounded);
  return memory;
}

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
