// Connected components: elements joined pair by pair.
#pragma once

#include <cstdint>
#include <vector>

namespace tutti {

// Sets of the elements 0, 1, ..., each in one of its own at first. One thread's.
class DisjointSets {
 public:
  std::int64_t size() const { return static_cast<std::int64_t>(parents_.size()); }
  // The next element.
  std::int64_t add();
  // Makes the sets of two elements one.
  void join(std::int64_t a, std::int64_t b);
  // An element of the set, the same for all that are in it, until sets are joined again.
  std::int64_t find(std::int64_t element);

 private:
  std::vector<std::int64_t> parents_;  // a root is its own
  std::vector<std::int64_t> sizes_;    // of roots' sets
};

}  // namespace tutti
