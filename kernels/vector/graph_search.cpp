#include "kernels/vector/graph_search.h"

#include <algorithm>
#include <stdexcept>

namespace tutti {

GraphSearch::GraphSearch(const GraphView& graph)
    : graph_(graph), seen_bits_(static_cast<std::size_t>((graph.vertices + 63) / 64)) {}

void GraphSearch::begin(std::int64_t breadth) {
  if (breadth < 1) throw std::invalid_argument("GraphSearch: a breadth below one");
  for (const std::int32_t v : seen_) seen_bits_[static_cast<std::uint32_t>(v) / 64] = 0;
  seen_.clear();
  pool_.clear();
  breadth_ = breadth;
  wanted_in_pool_ = 0;
}

// Returns its place, or the pool's end where it is too far away. Those behind the last of `breadth`
// wanted ones go.
std::size_t GraphSearch::take(Item item) {
  const bool wanted = is_wanted(vertex_of(item));
  if (wanted_in_pool_ == breadth_ && item > pool_.back()) return pool_.size();
  const auto at = std::upper_bound(pool_.begin(), pool_.end(), item);
  const auto place = static_cast<std::size_t>(at - pool_.begin());
  pool_.insert(at, item);
  wanted_in_pool_ += wanted;
  if (wanted_in_pool_ > breadth_) {
    pool_.pop_back();
    --wanted_in_pool_;
  }
  while (wanted_in_pool_ == breadth_ && !is_wanted(vertex_of(pool_.back()))) pool_.pop_back();
  return place;
}

std::span<const FoundVertex> GraphSearch::result() {
  found_.clear();
  for (const Item item : pool_)
    if (is_wanted(vertex_of(item))) found_.push_back({key_of(item), vertex_of(item)});
  return found_;
}

}  // namespace tutti
