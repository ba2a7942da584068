// A part of a flat array that several ranks share: what a checkpoint saves and fills.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "kernels/core/dtype.h"
#include "runtime/comm/partition.h"

namespace tutti {

// The part of a flat array that this rank has to save, or wants to be filled. Does not own its
// bytes.
struct ArraySlice {
  std::string name;  // the array's, the same on all ranks
  DType dtype = DType::f32;
  std::int64_t size = 0;  // elements of the whole array
  Range range;            // the slice's elements
  std::span<std::byte> bytes;
};

template <class T>
ArraySlice slice_of(std::string name, std::int64_t size, Range range, std::span<T> values) {
  return {std::move(name), dtype_of<T>, size, range, std::as_writable_bytes(values)};
}

}  // namespace tutti
