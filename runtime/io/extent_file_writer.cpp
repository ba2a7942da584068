#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/core/parallel.h"
#include "runtime/base/check.h"
#include "runtime/io/crc32c.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_skeleton.h"
#include "runtime/io/page_buffer.h"
#include "runtime/io/write_behind.h"

namespace tutti {
namespace {

std::int64_t bytes_of(const ColumnSpec& column) {
  std::int64_t bytes = std::int64_t(size_of(column.dtype));
  for (std::int64_t extent : column.shape) bytes *= extent;
  return bytes;
}

}  // namespace

struct ExtentWriter::State {
  struct Column {
    std::int64_t written = 0;  // bytes taken, those in the block included
    PageBuffer block;          // the block that append fills
    std::uint32_t crc = 0;     // of the block so far
  };

  std::filesystem::path path;
  File file;    // through the page cache: metadata and ends of columns
  File direct;  // whole pages
  FileRecord record;
  std::vector<Column> columns;
  WriteBehind behind{kBlockBytes, [this](auto data, std::int64_t offset) { write(data, offset); }};
  bool finished = false;

  explicit State(std::filesystem::path file_path)
      : path(std::move(file_path)),
        file(path, FileMode::create),
        direct(path, FileMode::update, true) {}
  ~State() {
    if (!finished) std::filesystem::remove(path, ignored_);
  }

  void lay_out(const std::vector<ColumnSpec>& specs, const Attributes& attributes,
               const std::vector<VirtualColumn>& virtual_columns);
  void write_header(const File& image);
  void write(std::span<const std::byte> data, std::int64_t offset);
  void end_block(std::size_t column);

 private:
  std::error_code ignored_;
};

void ExtentWriter::State::lay_out(const std::vector<ColumnSpec>& specs,
                                  const Attributes& attributes,
                                  const std::vector<VirtualColumn>& virtual_columns) {
  std::int64_t bytes = 0;
  for (const auto& spec : specs) bytes += bytes_of(spec);
  file.preallocate(bytes);
  const Hdf5Skeleton skeleton = make_hdf5_skeleton(specs, attributes, virtual_columns);
  file.preallocate(skeleton.bytes);

  record = {path.filename().string(), skeleton.bytes, 0, {}};
  for (std::size_t i = 0; i < specs.size(); ++i)
    record.extents.push_back({specs[i].dataset,
                              specs[i].dtype,
                              specs[i].shape,
                              skeleton.offsets[i],
                              bytes_of(specs[i]),
                              {}});
  for (auto& extent : record.extents)
    extent.crc32c.resize(std::size_t((extent.bytes + kBlockBytes - 1) / kBlockBytes));
  columns.resize(specs.size());
  write_header(skeleton.image);
}

void ExtentWriter::State::write_header(const File& image) {
  std::vector<std::byte> piece;
  for (const FileSpan& gap : header_spans(record)) {
    for (std::int64_t at = gap.offset; at < gap.offset + gap.bytes; at += kBlockBytes) {
      piece.resize(std::size_t(std::min(kBlockBytes, gap.offset + gap.bytes - at)));
      image.read_at(piece, at);
      record.header_crc32c = crc32c(piece, record.header_crc32c);
      file.write_at(piece, at);
    }
  }
}

// Whole pages go past the page cache, which halves what a write costs; the rest goes through it.
void ExtentWriter::State::write(std::span<const std::byte> data, std::int64_t offset) {
  if (offset % kPageBytes == 0 && is_page_aligned(data.data())) {
    const std::size_t whole = data.size() / kPageBytes * kPageBytes;
    direct.write_at(data.first(whole), offset);
    data = data.subspan(whole);
    offset += std::int64_t(whole);
  }
  file.write_at(data, offset);
}

void ExtentWriter::State::end_block(std::size_t column) {
  Column& state = columns[column];
  ExtentRecord& extent = record.extents[column];
  const std::int64_t block = (state.written - 1) / kBlockBytes;
  const std::int64_t begin = block * kBlockBytes;
  extent.crc32c[std::size_t(block)] = state.crc;
  state.crc = 0;
  behind.put(std::exchange(state.block, {}), state.written - begin, extent.offset + begin);
}

ExtentWriter::ExtentWriter(std::filesystem::path path, std::vector<ColumnSpec> columns,
                           Attributes attributes, std::vector<VirtualColumn> virtual_columns)
    : state_(std::make_unique<State>(std::move(path))) {
  state_->lay_out(columns, attributes, virtual_columns);
}

ExtentWriter::~ExtentWriter() = default;
ExtentWriter::ExtentWriter(ExtentWriter&&) noexcept = default;

void ExtentWriter::append(std::size_t column, std::span<const std::byte> data) {
  State::Column& state = state_->columns.at(column);
  const std::int64_t bytes = state_->record.extents[column].bytes;
  CHECK(std::int64_t(data.size()) <= bytes - state.written);
  while (!data.empty()) {
    if (!state.block) state.block = state_->behind.take();
    const std::int64_t at = state.written % kBlockBytes;
    const auto piece = data.first(std::min(data.size(), std::size_t(kBlockBytes - at)));
    state.crc = crc32c(piece, state.crc);
    std::memcpy(state.block.data() + at, piece.data(), piece.size());
    state.written += std::int64_t(piece.size());
    if (state.written % kBlockBytes == 0 || state.written == bytes) state_->end_block(column);
    data = data.subspan(piece.size());
  }
}

void ExtentWriter::write_all(std::size_t column, std::span<const std::byte> data) {
  ExtentRecord& extent = state_->record.extents.at(column);
  State::Column& state = state_->columns[column];
  CHECK(state.written == 0 && std::int64_t(data.size()) == extent.bytes);
  std::vector<PageBuffer> buffers(static_cast<std::size_t>(thread_count()));
  parallel_for_dynamic(std::int64_t(extent.crc32c.size()), [&](std::int64_t block) {
    const std::int64_t begin = block * kBlockBytes;
    auto piece =
        data.subspan(std::size_t(begin), std::size_t(std::min(kBlockBytes, extent.bytes - begin)));
    extent.crc32c[std::size_t(block)] = crc32c(piece);
    if (!is_page_aligned(piece.data())) {
      PageBuffer& buffer = buffers[std::size_t(thread_index())];
      if (!buffer) buffer = PageBuffer(kBlockBytes);
      std::memcpy(buffer.data(), piece.data(), piece.size());
      piece = buffer.first(std::int64_t(piece.size()));
    }
    state_->write(piece, extent.offset + begin);
  });
  state.written = extent.bytes;
}

void ExtentWriter::write_checked(std::size_t column, std::span<const std::byte> data,
                                 std::span<const std::uint32_t> crc32c) {
  ExtentRecord& extent = state_->record.extents.at(column);
  State::Column& state = state_->columns[column];
  CHECK(state.written == 0 && std::int64_t(data.size()) == extent.bytes);
  CHECK(crc32c.size() == extent.crc32c.size());
  std::ranges::copy(crc32c, extent.crc32c.begin());
  for (std::int64_t begin = 0; begin < extent.bytes; begin += kBlockBytes)
    state_->write(
        data.subspan(std::size_t(begin), std::size_t(std::min(kBlockBytes, extent.bytes - begin))),
        extent.offset + begin);
  state.written = extent.bytes;
}

bool ExtentWriter::is_direct() const { return state_->direct.is_direct(); }

const FileRecord& ExtentWriter::layout() const { return state_->record; }

FileRecord ExtentWriter::finish() {
  CHECK(!state_->finished);
  for (std::size_t i = 0; i < state_->columns.size(); ++i)
    CHECK(state_->columns[i].written == state_->record.extents[i].bytes,
          state_->record.extents[i].dataset);
  state_->behind.drain();
  state_->file.sync();
  sync_folder(state_->path.parent_path());
  state_->finished = true;
  return state_->record;
}

}  // namespace tutti
