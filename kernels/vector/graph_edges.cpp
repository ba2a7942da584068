#include "kernels/vector/graph_edges.h"

#include <algorithm>

namespace tutti {

std::span<const std::int32_t> EdgeChoice::choose(std::span<const FoundVertex> candidates,
                                                 std::int64_t degree) {
  kept_.clear();
  keys_.resize(static_cast<std::size_t>(degree));
  constexpr std::int64_t kAtOnce = 4;  // most are ruled out by one of the first
  for (const FoundVertex& candidate : candidates) {
    const std::int8_t* code = codes_.row(candidate.vertex);
    const auto kept = static_cast<std::int64_t>(kept_.size());
    bool wanted = true;
    for (std::int64_t at = 0; wanted && at < kept; at += kAtOnce) {
      const std::int64_t count = std::min(kAtOnce, kept - at);
      codes_.measure(code, kept_.data() + at, count, keys_.data());
      for (std::int64_t i = 0; i < count; ++i)
        wanted = wanted && slack_ * keys_[static_cast<std::size_t>(i)] > candidate.key;
    }
    if (!wanted) continue;
    kept_.push_back(candidate.vertex);
    if (kept + 1 == degree) break;
  }
  return kept_;
}

}  // namespace tutti
