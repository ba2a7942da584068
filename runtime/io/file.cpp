#include "runtime/io/file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr mode_t kPermissions = 0666;

int open_retrying(const std::filesystem::path& path, int flags) {
  int descriptor;
  do descriptor = ::open(path.c_str(), flags | O_CLOEXEC, kPermissions);
  while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

int flags_of(FileMode mode) {
  switch (mode) {
    case FileMode::read:
      return O_RDONLY;
    case FileMode::create:
      return O_RDWR | O_CREAT | O_TRUNC;
    case FileMode::update:
      return O_RDWR;
  }
  CHECK(false);
}

// Some file systems accept O_DIRECT when a file is opened and refuse it when it is used.
bool give_up_direct(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) && ::fcntl(descriptor, F_SETFL, flags & ~O_DIRECT) == 0;
}

std::string_view remedy_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "free some space there, then run the same command again";
    case EFBIG:
      return "raise the limit on file sizes (ulimit -f), or use more, smaller shards";
    case EACCES:
    case EPERM:
    case EROFS:
      return "check who may write and read there";
    case ENOTDIR:
      return "a part of the path is a file: give another one";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    default:
      return "";
  }
}

}  // namespace

void throw_file_error(std::string_view what, const std::filesystem::path& path, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  throw Error(ExitCode::io,
              "cannot " + std::string(what) + ": " + (full ? "disk full: " : "") +
                  std::strerror(error_number),
              path.string(), std::string(remedy_for(error_number)));
}

File::File(std::filesystem::path path, FileMode mode, bool direct) : path_(std::move(path)) {
  descriptor_ = open_retrying(path_, flags_of(mode) | (direct ? O_DIRECT : 0));
  if (descriptor_ < 0 && direct && errno == EINVAL)
    descriptor_ = open_retrying(path_, flags_of(mode));
  if (descriptor_ >= 0) return;
  if (mode != FileMode::create && (errno == ENOENT || errno == ENOTDIR))
    throw Error(ExitCode::data, "no such file", path_.string());
  throw_file_error(mode == FileMode::create ? "create" : "open", path_, errno);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      sync_failed_(other.sync_failed_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(sync_failed_, other.sync_failed_);
  return *this;
}

std::int64_t File::size() const {
  struct stat status;
  if (::fstat(descriptor_, &status) != 0) throw_file_error("look at", path_, errno);
  return status.st_size;
}

bool File::is_direct() const {
  const int flags = ::fcntl(descriptor_, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT);
}

void File::read_at(std::span<std::byte> data, std::int64_t offset) const {
  while (!data.empty()) {
    const ssize_t n = ::pread(descriptor_, data.data(), data.size(), offset);
    if (n < 0) {
      if (errno == EINTR || (errno == EINVAL && give_up_direct(descriptor_))) continue;
      throw_file_error("read", path_, errno);
    }
    if (n == 0)
      throw Error(ExitCode::data,
                  "the file ends at byte " + std::to_string(offset) + ", " +
                      std::to_string(data.size()) + " bytes too early",
                  path_.string());
    data = data.subspan(std::size_t(n));
    offset += n;
  }
}

void File::write_at(std::span<const std::byte> data, std::int64_t offset) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(descriptor_, data.data(), data.size(), offset);
    if (n < 0) {
      if (errno == EINTR || (errno == EINVAL && give_up_direct(descriptor_))) continue;
      throw_file_error("write", path_, errno);
    }
    if (n == 0) throw_file_error("write", path_, EIO);
    data = data.subspan(std::size_t(n));
    offset += n;
  }
}

void File::preallocate(std::int64_t bytes) {
  if (bytes <= 0) return;
  int error_number;
  do error_number = ::posix_fallocate(descriptor_, 0, bytes);
  while (error_number == EINTR);
  if (error_number != 0)
    throw_file_error("reserve " + std::to_string(bytes) + " bytes", path_, error_number);
}

void File::sync() {
  CHECK(!sync_failed_, path_.string());
  if (::fsync(descriptor_) == 0) return;
  sync_failed_ = true;
  throw_file_error("make durable", path_, errno);
}

std::string read_file(const std::filesystem::path& path) {
  const File file(path, FileMode::read);
  std::string bytes(std::size_t(file.size()), '\0');
  file.read_at(std::as_writable_bytes(std::span(bytes)), 0);
  return bytes;
}

std::filesystem::path temporary_of(const std::filesystem::path& path) {
  return path.string() + ".tmp";
}

void atomic_replace(const std::filesystem::path& path, std::string_view bytes) {
  const std::filesystem::path temporary = temporary_of(path);
  try {
    File file(temporary, FileMode::create);
    file.write_at(std::as_bytes(std::span(bytes)), 0);
    file.sync();
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw_file_error("rename to", path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(path.parent_path());
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder.empty() ? "." : folder;
  const int descriptor = open_retrying(path, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) throw_file_error("open folder", path, errno);
  const int error_number = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // EINVAL: this file system has no such thing as syncing a folder.
  if (error_number != 0 && error_number != EINVAL)
    throw_file_error("make folder durable", path, error_number);
}

void create_folders(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw_file_error("create folder", folder, failure.value());
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_file_error("remove", path, errno);
}

void remove_folder(const std::filesystem::path& path) {
  std::error_code failure;
  std::filesystem::remove_all(path, failure);
  if (failure) throw_file_error("remove", path, failure.value());
}

void survive_file_size_limit() { ::signal(SIGXFSZ, SIG_IGN); }

}  // namespace tutti
