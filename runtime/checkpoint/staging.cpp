#include "runtime/checkpoint/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/parallel.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/file_record.h"

namespace tutti {
namespace {

// Read for its checksum, a piece is still in the second-level cache when it is copied.
constexpr std::size_t kPiece = std::size_t(256) << 10;

std::int64_t blocks_of(std::int64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

// Returns the checksum of `from`; copies it where `to` is not null.
std::uint32_t take_block(std::span<const std::byte> from, std::byte* to) {
  if (!to) return crc32c(from);
  std::uint32_t crc = 0;
  for (std::size_t at = 0; at < from.size(); at += kPiece) {
    const auto piece = from.subspan(at, std::min(kPiece, from.size() - at));
    crc = crc32c(piece, crc);
    std::memcpy(to + at, piece.data(), piece.size());
  }
  return crc;
}

}  // namespace

void Staging::copy(std::span<const ArraySlice> slices) { take(slices, true); }
void Staging::refer(std::span<const ArraySlice> slices) { take(slices, false); }

void Staging::take(std::span<const ArraySlice> slices, bool copies) {
  struct Block {
    std::size_t column;
    std::int64_t index;
  };
  std::vector<Block> blocks;
  std::vector<std::int64_t> bytes;
  for (const ArraySlice& slice : slices) bytes.push_back(std::int64_t(slice.bytes.size()));
  std::vector<std::span<std::byte>> room;
  if (copies)
    room = make_room(bytes);
  else
    columns_.assign(slices.size(), {});
  for (std::size_t c = 0; c < slices.size(); ++c) {
    columns_[c].bytes = copies ? room[c] : slices[c].bytes;
    columns_[c].crc32c.assign(std::size_t(blocks_of(bytes[c])), 0);
    for (std::int64_t b = 0; b < blocks_of(bytes[c]); ++b) blocks.push_back({c, b});
  }
  parallel_for(std::int64_t(blocks.size()), [&](std::int64_t i) {
    const auto [column, index] = blocks[std::size_t(i)];
    const std::int64_t begin = index * kBlockBytes;
    const auto from = slices[column].bytes.subspan(
        std::size_t(begin), std::size_t(std::min(kBlockBytes, bytes[column] - begin)));
    columns_[column].crc32c[std::size_t(index)] =
        take_block(from, copies ? room[column].data() + begin : nullptr);
  });
}

std::vector<std::span<std::byte>> Staging::make_room(std::span<const std::int64_t> bytes) {
  memory_.resize(std::max(memory_.size(), bytes.size()));
  columns_.assign(bytes.size(), {});
  std::vector<std::span<std::byte>> room;
  for (std::size_t c = 0; c < bytes.size(); ++c) {
    memory_[c].grow(bytes[c]);
    room.push_back(memory_[c].span().first(std::size_t(bytes[c])));
    columns_[c].bytes = room.back();
  }
  return room;
}

std::int64_t Staging::bytes() const {
  std::int64_t sum = 0;
  for (const StagedColumn& column : columns_) sum += std::int64_t(column.bytes.size());
  return sum;
}

}  // namespace tutti
