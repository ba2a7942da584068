// What tasks on several threads agree on about each query. Internal to kernels/vector.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

namespace tutti {

// For each query a limit that only falls, infinite at first, and a lock. Threads may use any query
// at any time.
class SharedLimits {
 public:
  explicit SharedLimits(std::int64_t queries) : limits_(static_cast<std::size_t>(queries)) {
    for (std::atomic<float>& limit : limits_) limit = std::numeric_limits<float>::infinity();
  }

  std::int64_t queries() const { return static_cast<std::int64_t>(limits_.size()); }

  float limit(std::int64_t query) const {
    return limits_[static_cast<std::size_t>(query)].load(std::memory_order_relaxed);
  }
  void lower(std::int64_t query, float limit) {
    std::atomic<float>& mine = limits_[static_cast<std::size_t>(query)];
    float before = mine.load(std::memory_order_relaxed);
    while (limit < before &&
           !mine.compare_exchange_weak(before, limit, std::memory_order_relaxed)) {
    }
  }

  // Runs change() while no other thread does for this query. It should take a few instructions, for
  // waiting spins.
  template <class Change>
  void exclusively(std::int64_t query, Change&& change) {
    std::atomic_flag& lock = locks_[static_cast<std::size_t>(query) % locks_.size()];
    while (lock.test_and_set(std::memory_order_acquire)) {
    }
    change();
    lock.clear(std::memory_order_release);
  }

 private:
  std::vector<std::atomic<float>> limits_;
  std::array<std::atomic_flag, 256> locks_{};
};

}  // namespace tutti
