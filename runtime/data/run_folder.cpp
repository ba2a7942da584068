#include "runtime/data/run_folder.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "runtime/data/paths.h"
#include "runtime/io/file.h"

namespace tutti {

RunFolder::RunFolder(Comm& comm, std::filesystem::path folder) : folder_(std::move(folder)) {
  try {
    comm.attempt([&] {
      if (!comm.is_root()) return;
      create_folders(folder_);
      local_lock(comm.host());
    });
  } catch (...) {
    if (lock_ >= 0) close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

void RunFolder::local_lock(const std::string& host) {
  const std::filesystem::path file = folder_ / kLockFile;
  lock_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) throw_file_error("open", file, errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_file_error("lock", file, errno);
    throw Error(ExitCode::usage, "another job holds this run folder: " + read_file(file),
                folder_.string(), "wait for it to end, or give another --run folder");
  }
  const std::string holder = host + ", process " + std::to_string(getpid());
  if (ftruncate(lock_, 0) != 0 ||
      pwrite(lock_, holder.data(), holder.size(), 0) != ssize_t(holder.size()))
    throw_file_error("write", file, errno);
}

void RunFolder::local_write(const std::string& name, const std::string& text) const {
  atomic_replace(folder_ / name, text);
}

}  // namespace tutti
