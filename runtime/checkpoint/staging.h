// A rank's slices on their way to disk: as they stood at one moment, with the checksums of their
// blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/core/arena.h"
#include "runtime/checkpoint/array_slice.h"

namespace tutti {

// What goes into one dataset of a part.
struct StagedColumn {
  std::span<const std::byte> bytes;
  std::vector<std::uint32_t> crc32c;  // one a block of kBlockBytes
};

// Local. Memory is kept from one snapshot to the next: fresh pages would cost more than the copy.
class Staging {
 public:
  // Copies the slices and takes checksums of what they hold, on all threads. Throws std::bad_alloc.
  void copy(std::span<const ArraySlice> slices);
  // As copy() without a copy, for slices that nobody changes until they are written.
  void refer(std::span<const ArraySlice> slices);
  // Room for columns of these sizes, to be filled from elsewhere. Throws std::bad_alloc.
  std::vector<std::span<std::byte>> make_room(std::span<const std::int64_t> bytes);
  void set_checksums(std::size_t column, std::vector<std::uint32_t> crc32c) {
    columns_[column].crc32c = std::move(crc32c);
  }

  std::span<const StagedColumn> columns() const { return columns_; }
  std::int64_t bytes() const;

 private:
  void take(std::span<const ArraySlice> slices, bool copies);

  std::vector<AlignedBuffer<std::byte>> memory_;
  std::vector<StagedColumn> columns_;
};

}  // namespace tutti
