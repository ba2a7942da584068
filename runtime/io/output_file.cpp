#include "runtime/io/output_file.h"

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr std::size_t kBufferBytes = std::size_t(4) << 20;

}  // namespace

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) throw_file_error("rename to", to, errno);
  sync_folder(to.parent_path());
}

OutputFile::OutputFile(std::filesystem::path path, std::int64_t bytes)
    : path_(std::move(path)), bytes_(bytes), file_(temporary_of(path_), FileMode::create) {
  try {
    file_.preallocate(bytes_);
  } catch (...) {
    remove_file(temporary_of(path_));
    throw;
  }
}

OutputFile::~OutputFile() {
  std::error_code ignored;  // an error is being told already
  if (!finished_) std::filesystem::remove(temporary_of(path_), ignored);
}

void OutputFile::append(std::span<const std::byte> data) {
  buffer_.insert(buffer_.end(), data.begin(), data.end());
  if (buffer_.size() >= kBufferBytes) flush();
}

void OutputFile::flush() {
  CHECK(written_ + std::int64_t(buffer_.size()) <= bytes_);
  file_.write_at(buffer_, written_);
  written_ += std::int64_t(buffer_.size());
  buffer_.clear();
}

void OutputFile::finish() {
  flush();
  CHECK(written_ == bytes_);
  file_.sync();
  rename_file(temporary_of(path_), path_);
  finished_ = true;
}

}  // namespace tutti
