// Where the entries of each list of an index stand, over all its segments.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"

namespace tutti {

// In memory: the table of lists, and a bit an entry. Local; threads may share one.
class IndexLists {
 public:
  // Throws Error(data) where the table of lists does not fit the entries, or what says which are
  // deleted is damaged. The index must outlive it.
  explicit IndexLists(const IndexFolder& index);

  // Entries that are not deleted, of each list.
  std::vector<std::int64_t> sizes() const;
  // Calls take(rows of the table `entries`) for pieces of a list's, of at most so many rows: those
  // that are not deleted, in order of segment, which is the order of their ids.
  void for_each_piece(std::int64_t list, std::int64_t most_rows,
                      const std::function<void(Range)>& take) const;

 private:
  void add_segment(const IndexFolder& index, const Segment& segment);

  EntrySet live_;
  std::vector<std::vector<std::int64_t>> first_entries_;  // by segment, by list, and the end
};

}  // namespace tutti
