// Groups of near-duplicates: the connected components of pairs.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/vector/disjoint_sets.h"
#include "runtime/data/flat_table.h"

namespace tutti {

// Vectors that are in a pair. Groups are numbered from 0 in the order of their smallest ids.
struct DuplicateGroups {
  std::vector<std::int64_t> ids;      // ascending
  std::vector<std::int64_t> groups;   // of each id
  std::vector<std::int64_t> dropped;  // ascending: all ids but each group's smallest
  std::int64_t count = 0, largest = 0;
};

// Memory is a few words for each vector in a pair. Local.
class GroupFinder {
 public:
  void add(std::int64_t a, std::int64_t b);
  DuplicateGroups groups();

 private:
  std::int64_t element_of(std::int64_t id);

  FlatTable<std::int64_t> elements_;  // by id, counted from 1: 0 is none yet
  std::vector<std::int64_t> ids_;     // by element
  DisjointSets sets_;
};

}  // namespace tutti
