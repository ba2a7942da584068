// Accumulators that tasks on several threads meet at. Internal to kernels/vector.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector/top_k.h"

namespace tutti {

// The accumulators of a search's queries, all of one k, and for each a distance that nothing wanted
// exceeds. Threads may use any query at any time.
class SharedResults {
 public:
  explicit SharedResults(std::span<TopK> results) : results_(results), limits_(results.size()) {
    for (std::size_t i = 0; i < results.size(); ++i) limits_[i] = results[i].threshold();
  }

  std::int64_t k() const { return results_[0].k(); }

  float limit(std::int64_t query) const {
    return limits_[static_cast<std::size_t>(query)].load(std::memory_order_relaxed);
  }

  void push(std::int64_t query, const Neighbor& found) {
    if (found.distance <= limit(query)) with(query, [&](TopK& result) { result.push(found); });
  }
  void merge(std::int64_t query, const TopK& found) {
    with(query, [&](TopK& result) { result.merge(found); });
  }

  // The caller knows of k vectors at most this far.
  void lower(std::int64_t query, float limit) {
    std::atomic<float>& mine = limits_[static_cast<std::size_t>(query)];
    float before = mine.load(std::memory_order_relaxed);
    while (limit < before &&
           !mine.compare_exchange_weak(before, limit, std::memory_order_relaxed)) {
    }
  }

 private:
  // Held for a few instructions, so waiting spins.
  template <class Change>
  void with(std::int64_t query, Change&& change) {
    std::atomic_flag& lock = locks_[static_cast<std::size_t>(query) % locks_.size()];
    while (lock.test_and_set(std::memory_order_acquire)) {
    }
    TopK& result = results_[static_cast<std::size_t>(query)];
    change(result);
    const float threshold = result.threshold();
    lock.clear(std::memory_order_release);
    lower(query, threshold);
  }

  std::span<TopK> results_;
  std::vector<std::atomic<float>> limits_;
  std::array<std::atomic_flag, 256> locks_{};
};

}  // namespace tutti
