// Writes blocks on a thread of its own, so that the next one is filled while the disk takes this
// one.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "runtime/io/page_buffer.h"

namespace tutti {

// Blocks are handed out empty, filled by the caller, put, and written in the order in which they
// were put. Threads may share one. What `write` throws comes out of the next put or drain, and of
// every one after it; nothing more is written.
class WriteBehind {
 public:
  using Write = std::function<void(std::span<const std::byte> data, std::int64_t offset)>;

  // Blocks of `block_bytes`, a multiple of kPageBytes. The thread starts with the first put.
  WriteBehind(std::int64_t block_bytes, Write write);
  // Gives up what is not yet written.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // An empty block.
  PageBuffer take();
  // Its first `bytes` bytes are to go to `offset`. Waits while kMostWaiting blocks do.
  void put(PageBuffer block, std::int64_t bytes, std::int64_t offset);
  // Waits until all is written.
  void drain();

 private:
  static constexpr std::size_t kMostWaiting = 2;
  struct Job {
    PageBuffer block;
    std::int64_t bytes, offset;
  };
  void run();
  void wait_for(std::unique_lock<std::mutex>& lock, std::size_t most);

  const std::int64_t block_bytes_;
  const Write write_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> waiting_;  // the first one is being written
  std::vector<PageBuffer> free_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace tutti
