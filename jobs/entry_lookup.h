// Which entries of an index are called what: one look-up for many names.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/id_key.h"
#include "runtime/data/metadata_columns.h"

namespace tutti {

// Ranks share the entries out, and each is asked for the names of all. Names in memory at a time
// take up to `memory_bytes`: more are looked up in several rounds, each of which reads the names of
// all entries.
class EntryLookup {
 public:
  enum class By { id, external_id };

  // Collective; throws Error(data) on all ranks. The index must outlive it.
  EntryLookup(Comm& comm, const IndexFolder& index, std::int64_t memory_bytes);

  // This rank's entries that are not deleted. Local.
  const EntrySet& live() const { return *live_; }
  // Has those of the rows that are this rank's not be found any more. Local.
  void remove(std::span<const std::int64_t> rows);

  // The row of the table `entries` of each of this rank's `count` names, -1 where no live entry has
  // it. `keys`, local, makes the keys of a range of them. By external ids, the index has them.
  // Collective; throws Error on all ranks.
  std::vector<std::int64_t> find(std::int64_t count, By by,
                                 const std::function<std::vector<IdKey>(Range)>& keys);

 private:
  struct Wanted;
  std::vector<IdKey> keys_of(Range entries, By by) const;
  void find_mine(const Wanted& wanted, By by, ByteLists& found) const;

  Comm& comm_;
  const IndexFolder& index_;
  std::int64_t memory_bytes_;
  std::optional<MetadataColumns> metadata_;
  std::optional<EntrySet> live_;
};

}  // namespace tutti
