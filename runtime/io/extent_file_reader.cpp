#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "kernels/core/parallel.h"
#include "runtime/base/check.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"
#include "runtime/io/page_buffer.h"

namespace tutti {
namespace {

constexpr const char* kRemedy = "restore the file from a copy, or write the artefact again";

Error mismatch(const File& file, const std::string& what, std::uint32_t expected,
               std::uint32_t found) {
  return Error(ExitCode::data,
               what + " is damaged: expected checksum " + crc_to_hex(expected) + ", found " +
                   crc_to_hex(found),
               file.path().string(), kRemedy);
}

}  // namespace

struct ExtentReader::State {
  File file;
  std::optional<File> direct;
  FileRecord record;
  std::vector<std::vector<std::atomic<bool>>> verified;  // by column, by block

  State(std::filesystem::path path, FileRecord file_record, bool past_cache)
      : file(std::move(path), FileMode::read), record(std::move(file_record)) {
    if (past_cache) direct.emplace(file.path(), FileMode::read, true);
    const std::int64_t size = file.size();
    if (size != record.bytes)
      throw Error(ExitCode::data,
                  "the file has " + std::to_string(size) + " bytes, its manifest says " +
                      std::to_string(record.bytes),
                  file.path().string(), kRemedy);
    for (const auto& extent : record.extents) verified.emplace_back(extent.crc32c.size());
  }

  std::int64_t block_bytes(const ExtentRecord& extent, std::int64_t block) const {
    return std::min(kBlockBytes, extent.bytes - block * kBlockBytes);
  }
  void read(std::span<std::byte> data, std::int64_t offset) const;
  std::optional<Error> check_header() const;
  std::optional<Error> check_block(const ExtentRecord& extent, std::int64_t block,
                                   std::span<const std::byte> data) const;
  void read_in_block(std::size_t column, std::int64_t begin, std::span<std::byte> data);
};

void ExtentReader::State::read(std::span<std::byte> data, std::int64_t offset) const {
  if (direct && offset % kPageBytes == 0 && is_page_aligned(data.data())) {
    const std::size_t whole = data.size() / kPageBytes * kPageBytes;
    direct->read_at(data.first(whole), offset);
    data = data.subspan(whole);
    offset += std::int64_t(whole);
  }
  file.read_at(data, offset);
}

std::optional<Error> ExtentReader::State::check_header() const {
  std::vector<std::byte> piece;
  std::uint32_t crc = 0;
  for (const FileSpan& gap : header_spans(record)) {
    for (std::int64_t at = gap.offset; at < gap.offset + gap.bytes; at += kBlockBytes) {
      piece.resize(std::size_t(std::min(kBlockBytes, gap.offset + gap.bytes - at)));
      file.read_at(piece, at);
      crc = crc32c(piece, crc);
    }
  }
  if (crc == record.header_crc32c) return std::nullopt;
  return mismatch(file, record.extents.empty() ? "the file" : "the header", record.header_crc32c,
                  crc);
}

std::optional<Error> ExtentReader::State::check_block(const ExtentRecord& extent,
                                                      std::int64_t block,
                                                      std::span<const std::byte> data) const {
  const std::uint32_t expected = extent.crc32c[std::size_t(block)], found = crc32c(data);
  if (found == expected) return std::nullopt;
  const std::int64_t begin = extent.offset + block * kBlockBytes;
  return mismatch(file,
                  "dataset " + extent.dataset + ", block " + std::to_string(block) + " (bytes " +
                      std::to_string(begin) + " to " +
                      std::to_string(begin + std::int64_t(data.size())) + " of the file)",
                  expected, found);
}

// Bytes from `begin` of a column that lie within one block.
void ExtentReader::State::read_in_block(std::size_t column, std::int64_t begin,
                                        std::span<std::byte> data) {
  const ExtentRecord& extent = record.extents[column];
  const std::int64_t block = begin / kBlockBytes, block_begin = block * kBlockBytes;
  std::atomic<bool>& verified_block = verified[column][std::size_t(block)];
  if (verified_block.load(std::memory_order_relaxed)) {
    read(data, extent.offset + begin);
    return;
  }
  const std::int64_t size = block_bytes(extent, block);
  const bool whole = std::int64_t(data.size()) == size;
  const PageBuffer buffer = whole ? PageBuffer() : PageBuffer(kBlockBytes);
  const auto bytes = whole ? data : buffer.first(size);
  read(bytes, extent.offset + block_begin);
  if (const auto damage = check_block(extent, block, bytes)) throw *damage;
  verified_block.store(true, std::memory_order_relaxed);
  if (!whole) std::memcpy(data.data(), bytes.data() + (begin - block_begin), data.size());
}

ExtentReader::ExtentReader(std::filesystem::path path, FileRecord record, bool direct)
    : state_(std::make_unique<State>(std::move(path), std::move(record), direct)) {}
ExtentReader::~ExtentReader() = default;
ExtentReader::ExtentReader(ExtentReader&&) noexcept = default;
ExtentReader& ExtentReader::operator=(ExtentReader&&) noexcept = default;

const FileRecord& ExtentReader::record() const { return state_->record; }

void ExtentReader::read(std::size_t column, std::int64_t begin, std::int64_t count,
                        std::span<std::byte> data) const {
  const ExtentRecord& extent = state_->record.extents.at(column);
  const std::int64_t element = std::int64_t(size_of(extent.dtype));
  CHECK(begin >= 0 && count >= 0 && begin + count <= extent.elements(), extent.dataset);
  CHECK(std::int64_t(data.size()) == count * element, extent.dataset);
  for (std::int64_t at = begin * element; !data.empty();) {
    const std::int64_t left_in_block = kBlockBytes - at % kBlockBytes;
    const auto piece = data.first(std::min(data.size(), std::size_t(left_in_block)));
    state_->read_in_block(column, at, piece);
    data = data.subspan(piece.size());
    at += std::int64_t(piece.size());
  }
}

std::vector<Error> ExtentReader::find_damage(std::size_t limit) const {
  struct Block {
    std::size_t column;
    std::int64_t block;
  };
  std::vector<Block> blocks;
  for (std::size_t c = 0; c < state_->record.extents.size(); ++c)
    for (std::size_t b = 0; b < state_->record.extents[c].crc32c.size(); ++b)
      blocks.push_back({c, std::int64_t(b)});

  std::vector<std::optional<Error>> damage(blocks.size() + 1);
  damage[0] = state_->check_header();
  std::vector<PageBuffer> buffers(static_cast<std::size_t>(thread_count()));
  parallel_for_dynamic(std::int64_t(blocks.size()), [&](std::int64_t i) {
    const auto [column, block] = blocks[std::size_t(i)];
    const ExtentRecord& extent = state_->record.extents[column];
    PageBuffer& buffer = buffers[std::size_t(thread_index())];
    if (!buffer) buffer = PageBuffer(kBlockBytes);
    const auto data = buffer.first(state_->block_bytes(extent, block));
    state_->file.read_at(data, extent.offset + block * kBlockBytes);
    damage[std::size_t(i) + 1] = state_->check_block(extent, block, data);
  });
  std::vector<Error> found;
  for (const auto& error : damage)
    if (error && found.size() < limit) found.push_back(*error);
  return found;
}

void ExtentReader::verify_all() const {
  const auto damage = find_damage(1);
  if (!damage.empty()) throw damage.front();
}

}  // namespace tutti
