#include "runtime/checkpoint/part_writer.h"

#include <algorithm>

#include <sys/resource.h>
#include <unistd.h>

#include "runtime/io/page_buffer.h"

namespace tutti {
namespace {

// Linux gives each thread a nice value of its own.
void take_lowest_priority() { (void)setpriority(PRIO_PROCESS, id_t(gettid()), 19); }

void read_back(const std::filesystem::path& file, const FileRecord& record) {
  const ExtentReader reader(file, record);
  const PageBuffer block(kBlockBytes);
  for (std::size_t e = 0; e < record.extents.size(); ++e) {
    const ExtentRecord& extent = record.extents[e];
    const std::int64_t width = std::int64_t(size_of(extent.dtype)), step = kBlockBytes / width;
    for (std::int64_t at = 0; at < extent.elements(); at += step) {
      const std::int64_t count = std::min(step, extent.elements() - at);
      reader.read(e, at, count, block.first(count * width));
    }
  }
}

}  // namespace

PartWriter::PartWriter(std::span<const std::filesystem::path> files,
                       const std::vector<ColumnSpec>& columns)
    : files_(files.begin(), files.end()) {
  for (const std::filesystem::path& file : files) writers_.emplace_back(file, columns);
}

PartWriter::~PartWriter() {
  if (thread_.joinable()) thread_.join();
}

std::optional<std::filesystem::path> PartWriter::without_direct_io() const {
  for (std::size_t f = 0; f < writers_.size(); ++f)
    if (!writers_[f].is_direct()) return files_[f];
  return std::nullopt;
}

void PartWriter::start(std::span<const StagedColumn> columns, Manner manner) {
  thread_ = std::thread([this, columns, manner] {
    if (manner.aside) take_lowest_priority();
    try {
      write(columns, manner.verify);
    } catch (...) {
      failure_ = std::current_exception();
    }
    writing_.store(false, std::memory_order_release);
  });
}

void PartWriter::write(std::span<const StagedColumn> columns, bool verify) {
  for (std::size_t f = 0; f < writers_.size(); ++f) {
    for (std::size_t c = 0; c < columns.size(); ++c)
      writers_[f].write_checked(c, columns[c].bytes, columns[c].crc32c);
    const FileRecord record = writers_[f].finish();
    if (verify) read_back(files_[f], record);
  }
}

void PartWriter::finish() {
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace tutti
