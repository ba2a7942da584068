// Flat memory: aligned buffers, and the layout of a model's parameters in one arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tutti {

// Elements in one block of an arena. Sums over an arena are taken block by block and slices for
// ranks are whole blocks, so that neither depends on the number of ranks.
inline constexpr std::int64_t kArenaBlock = 16384;

// Elements to which each parameter's offset is aligned.
inline constexpr std::int64_t kParameterAlignment = 64;

namespace detail {

// Memory aligned to 64 bytes and zeroed, in huge pages where it is large and the system has them.
// Throws std::bad_alloc.
void* allocate_zeroed(std::size_t bytes);
// Gives it back; `bytes` as it was allocated.
void release(void* memory, std::size_t bytes);
// Gives back the pages that hold nothing but bytes [begin, end) of it.
void discard(void* memory, std::size_t bytes, std::size_t begin, std::size_t end);

}  // namespace detail

// An owning array, aligned to 64 bytes and zeroed. Movable, not copyable. Throws std::bad_alloc.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::int64_t size) { grow(size); }

  // Makes room for at least `size` elements. Memory that is large enough is kept as it is;
  // otherwise it is replaced by zeroed memory and the old contents are lost.
  void grow(std::int64_t size) {
    if (size <= size_) return;
    memory_.reset();
    size_ = 0;
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    memory_ = {static_cast<T*>(detail::allocate_zeroed(bytes)), Free{bytes}};
    size_ = size;
  }

  // Elements [begin, end) are of no use until they are written again, and undefined until then:
  // where the buffer is large, the memory that nothing else stands in goes back to the system.
  void discard(std::int64_t begin, std::int64_t end) {
    detail::discard(memory_.get(), static_cast<std::size_t>(size_) * sizeof(T),
                    static_cast<std::size_t>(begin) * sizeof(T),
                    static_cast<std::size_t>(end) * sizeof(T));
  }

  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  std::int64_t size() const { return size_; }
  T& operator[](std::int64_t index) { return memory_.get()[index]; }
  const T& operator[](std::int64_t index) const { return memory_.get()[index]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  std::span<T> span() { return {data(), static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const { return {data(), static_cast<std::size_t>(size_)}; }

 private:
  struct Free {
    std::size_t bytes = 0;
    void operator()(T* memory) const { detail::release(memory, bytes); }
  };
  std::unique_ptr<T[], Free> memory_;
  std::int64_t size_ = 0;
};

// One tensor of a model within the arena. `offset` and `size` are in elements; `decay` tells
// whether weight decay applies to it.
struct Parameter {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::int64_t size = 0;
  bool decay = false;
};

// The order, names and places of a model's parameters. The gap behind each parameter, up to the
// next multiple of kParameterAlignment, and the end of the arena hold zeros.
class ArenaLayout {
 public:
  // Appends a parameter and returns its index. Throws std::invalid_argument for a name that is
  // taken, an empty shape or an extent below one.
  std::int64_t add(std::string name, std::vector<std::int64_t> shape, bool decay);

  std::span<const Parameter> parameters() const { return parameters_; }

  // Throws std::invalid_argument where no parameter is called `name`.
  const Parameter& find(std::string_view name) const;

  // Elements up to the end of the last parameter.
  std::int64_t used_size() const;

  // Elements of the whole arena: a multiple of kArenaBlock.
  std::int64_t padded_size() const;

  // padded_size() / kArenaBlock.
  std::int64_t block_count() const { return padded_size() / kArenaBlock; }

 private:
  std::vector<Parameter> parameters_;
};

// Elements [offset, offset + size) of an arena. Throws std::invalid_argument past its end.
std::span<float> view_of(const Parameter& parameter, std::span<float> arena);
std::span<const float> view_of(const Parameter& parameter, std::span<const float> arena);

}  // namespace tutti
