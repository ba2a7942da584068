#include "runtime/io/write_behind.h"

#include <utility>

namespace tutti {

WriteBehind::WriteBehind(std::int64_t block_bytes, Write write)
    : block_bytes_(block_bytes), write_(std::move(write)) {}

WriteBehind::~WriteBehind() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

PageBuffer WriteBehind::take() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!free_.empty()) {
      PageBuffer block = std::move(free_.back());
      free_.pop_back();
      return block;
    }
  }
  return PageBuffer(block_bytes_);
}

void WriteBehind::put(PageBuffer block, std::int64_t bytes, std::int64_t offset) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  wait_for(lock, kMostWaiting - 1);
  waiting_.push_back({std::move(block), bytes, offset});
  changed_.notify_all();
}

void WriteBehind::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  wait_for(lock, 0);
}

void WriteBehind::wait_for(std::unique_lock<std::mutex>& lock, std::size_t most) {
  changed_.wait(lock, [&] { return failure_ || waiting_.size() <= most; });
  if (failure_) std::rethrow_exception(failure_);
}

void WriteBehind::run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const Job& job = waiting_.front();  // stays in place: only this thread takes from the front
    lock.unlock();
    std::exception_ptr failure;
    try {
      write_(job.block.first(job.bytes), job.offset);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
    free_.push_back(std::move(waiting_.front().block));
    waiting_.pop_front();
    changed_.notify_all();
    if (failure_) return;
  }
}

}  // namespace tutti
