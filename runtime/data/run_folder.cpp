#include "runtime/data/run_folder.h"

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/data/paths.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

int open_lock(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) throw_file_error("open", file, errno);
  return descriptor;
}

enum class Lock {
  taken,
  held,     // by somebody else
  unknown,  // the file system has none
};

Lock try_lock(int descriptor, int kind, const std::filesystem::path& file) {
  if (flock(descriptor, kind | LOCK_NB) == 0) return Lock::taken;
  if (errno == EWOULDBLOCK) return Lock::held;
  // Lustre, say, has locks only where it was mounted with them.
  if (errno == ENOSYS || errno == EOPNOTSUPP) return Lock::unknown;
  throw_file_error("lock", file, errno);
}

void put_text(int descriptor, const std::string& text, const std::filesystem::path& file) {
  if (ftruncate(descriptor, 0) != 0 ||
      pwrite(descriptor, text.data(), text.size(), 0) != ssize_t(text.size()))
    throw_file_error("write", file, errno);
}

}  // namespace

RunFolder::RunFolder(Comm& comm, std::filesystem::path folder, double patience_seconds)
    : folder_(std::move(folder)) {
  const std::string holder = comm.host() + ", process " + std::to_string(getpid());
  try {
    comm.attempt([&] {
      if (!comm.is_root()) return;
      create_folders(folder_);
      local_lock(holder);
      local_await_ranks(patience_seconds);
    });
    const std::vector<std::string> holders = comm.all_gather_strings(holder);
    comm.attempt([&] { comm.is_root() ? local_tell_ranks(holders) : local_join(); });
  } catch (...) {
    if (lock_ >= 0) close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

void RunFolder::local_lock(const std::string& holder) {
  const std::filesystem::path file = folder_ / kLockFile;
  lock_ = open_lock(file);
  const Lock lock = try_lock(lock_, LOCK_EX, file);
  if (lock == Lock::held)
    throw Error(ExitCode::usage, "another job holds this run folder: " + read_file(file),
                folder_.string(), "wait for it to end, or give another --run folder");
  if (lock == Lock::unknown)
    log_warning("{}: its file system has no locks: take care that no other job works there",
                folder_.string());
  put_text(lock_, holder, file);
}

// The root's business, who holds the folder: no rank of another job can join in.
void RunFolder::local_await_ranks(double patience_seconds) {
  const std::filesystem::path file = folder_ / kRanksFile;
  const int ranks = open_lock(file);
  const auto start = std::chrono::steady_clock::now();
  bool free = try_lock(ranks, LOCK_EX, file) != Lock::held;
  if (!free) log_info("waiting for ranks of a job that was killed: {}", read_file(file));
  while (!free && std::chrono::steady_clock::now() - start <
                      std::chrono::duration<double>(patience_seconds)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    free = try_lock(ranks, LOCK_EX, file) != Lock::held;
  }
  close(ranks);
  if (!free)
    throw Error(ExitCode::usage,
                "ranks of a job that was killed still work in this run folder, of these: " +
                    read_file(file),
                folder_.string(), "end them, or give another --run folder");
}

void RunFolder::local_tell_ranks(const std::vector<std::string>& holders) const {
  constexpr std::size_t kMost = 100;  // enough to find them by
  std::string text;
  for (std::size_t rank = 1; rank < holders.size() && rank <= kMost; ++rank)
    text += (rank > 1 ? "; " : "") + holders[rank];
  const int ranks = open_lock(folder_ / kRanksFile);
  put_text(ranks, text, folder_ / kRanksFile);
  close(ranks);
}

void RunFolder::local_join() {
  const std::filesystem::path file = folder_ / kRanksFile;
  lock_ = open_lock(file);
  if (try_lock(lock_, LOCK_SH, file) == Lock::held)
    throw Error(ExitCode::usage, "another job holds this run folder", folder_.string(),
                "wait for it to end, or give another --run folder");
}

void RunFolder::local_write(const std::string& name, const std::string& text) const {
  atomic_replace(folder_ / name, text);
}

}  // namespace tutti
