// Accumulators that tasks on several threads meet at. Internal to kernels/vector.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/vector/shared_limits.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// The accumulators of a search's queries, all of one k, and for each a distance that nothing wanted
// exceeds. Threads may use any query at any time.
class SharedResults {
 public:
  explicit SharedResults(std::span<TopK> results)
      : results_(results), limits_(static_cast<std::int64_t>(results.size())) {
    for (std::size_t i = 0; i < results.size(); ++i)
      lower(static_cast<std::int64_t>(i), results[i].threshold());
  }

  std::int64_t k() const { return results_[0].k(); }

  float limit(std::int64_t query) const { return limits_.limit(query); }

  void push(std::int64_t query, const Neighbor& found) {
    if (found.distance <= limit(query)) with(query, [&](TopK& result) { result.push(found); });
  }
  void merge(std::int64_t query, const TopK& found) {
    with(query, [&](TopK& result) { result.merge(found); });
  }

  // The caller knows of k vectors at most this far.
  void lower(std::int64_t query, float limit) { limits_.lower(query, limit); }

 private:
  template <class Change>
  void with(std::int64_t query, Change&& change) {
    float threshold = 0;
    limits_.exclusively(query, [&] {
      TopK& result = results_[static_cast<std::size_t>(query)];
      change(result);
      threshold = result.threshold();
    });
    lower(query, threshold);
  }

  std::span<TopK> results_;
  SharedLimits limits_;
};

}  // namespace tutti
