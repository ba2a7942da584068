#include "kernels/vector/top_k.h"

#include <algorithm>
#include <stdexcept>

namespace tutti {

TopK::TopK(std::int64_t k) : k_(k), room_(k) {
  if (k < 1) throw std::invalid_argument("TopK: k must be at least 1");
}

void TopK::reset(float bound) {
  kept_.clear();
  room_ = k_;
  threshold_ = bound;
}

void TopK::shrink() {
  const auto last = kept_.begin() + (k_ - 1);
  std::nth_element(kept_.begin(), last, kept_.end(), precedes);
  threshold_ = last->distance;
  kept_.resize(static_cast<std::size_t>(k_));
  // Half as many again before the next selection makes a push constant time on average.
  room_ = k_ + k_ / 2 + 1;
}

void TopK::merge(const TopK& other) {
  for (const Neighbor& candidate : other.kept_) push(candidate);
}

void TopK::write_sorted(std::span<Neighbor> out) const {
  if (static_cast<std::int64_t>(out.size()) != k_) {
    throw std::invalid_argument("TopK::write_sorted: the output must have k places");
  }
  const auto end =
      std::partial_sort_copy(kept_.begin(), kept_.end(), out.begin(), out.end(), precedes);
  std::fill(end, out.end(), Neighbor{});
}

std::vector<Neighbor> TopK::sorted() const {
  std::vector<Neighbor> all(kept_);
  std::sort(all.begin(), all.end(), precedes);
  if (static_cast<std::int64_t>(all.size()) > k_) all.resize(static_cast<std::size_t>(k_));
  return all;
}

void merge_sorted(std::span<const Neighbor> a, std::span<const Neighbor> b,
                  std::span<Neighbor> out) {
  std::size_t i = 0;
  std::size_t j = 0;
  for (Neighbor& place : out) {
    const Neighbor from_a = i < a.size() ? a[i] : Neighbor{};
    const Neighbor from_b = j < b.size() ? b[j] : Neighbor{};
    const bool take_b = precedes(from_b, from_a);
    place = take_b ? from_b : from_a;
    ++(take_b ? j : i);
  }
}

}  // namespace tutti
