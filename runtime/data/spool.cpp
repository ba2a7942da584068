#include "runtime/data/spool.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/io/crc32c.h"

namespace tutti {

Spool::Spool(std::filesystem::path path, std::int64_t memory_bytes)
    : path_(std::move(path)), memory_bytes_(std::size_t(std::max<std::int64_t>(memory_bytes, 1))) {}

Spool::~Spool() {
  std::error_code ignored;
  if (file_) std::filesystem::remove(path_, ignored);
}

void Spool::append(std::span<const std::byte> data) {
  while (!data.empty()) {
    if (memory_.size() == memory_bytes_) spill();
    const auto piece = data.first(std::min(data.size(), memory_bytes_ - memory_.size()));
    memory_.insert(memory_.end(), piece.begin(), piece.end());
    data = data.subspan(piece.size());
  }
}

void Spool::spill() {
  if (!file_) file_.emplace(path_, FileMode::create);
  file_->write_at(memory_, spilled_bytes_);
  pieces_.push_back({std::int64_t(memory_.size()), crc32c(std::span<const std::byte>(memory_))});
  spilled_bytes_ += pieces_.back().bytes;
  memory_.clear();
}

void Spool::drain(const std::function<void(std::span<const std::byte>)>& take) {
  std::vector<std::byte> buffer;
  std::int64_t at = 0;
  for (const Piece& piece : pieces_) {
    buffer.resize(std::size_t(piece.bytes));
    file_->read_at(buffer, at);
    if (crc32c(std::span<const std::byte>(buffer)) != piece.crc32c)
      throw Error(ExitCode::io, "the disk did not give back what was written to it", path_.string(),
                  "check the disk, then run the same command again");
    take(buffer);
    at += piece.bytes;
  }
  take(memory_);
}

}  // namespace tutti
