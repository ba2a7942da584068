#include "kernels/vector/disjoint_sets.h"

#include <utility>

namespace tutti {

std::int64_t DisjointSets::add() {
  parents_.push_back(size());
  sizes_.push_back(1);
  return size() - 1;
}

void DisjointSets::join(std::int64_t a, std::int64_t b) {
  auto larger = static_cast<std::size_t>(find(a)), smaller = static_cast<std::size_t>(find(b));
  if (larger == smaller) return;
  if (sizes_[larger] < sizes_[smaller]) std::swap(larger, smaller);
  parents_[smaller] = static_cast<std::int64_t>(larger);
  sizes_[larger] += sizes_[smaller];
}

// Halves the way that it went.
std::int64_t DisjointSets::find(std::int64_t element) {
  auto at = static_cast<std::size_t>(element);
  while (parents_[at] != static_cast<std::int64_t>(at)) {
    parents_[at] = parents_[static_cast<std::size_t>(parents_[at])];
    at = static_cast<std::size_t>(parents_[at]);
  }
  return static_cast<std::int64_t>(at);
}

}  // namespace tutti
