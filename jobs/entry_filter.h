// Which entries of an index a filter over their metadata takes.
#pragma once

#include <optional>
#include <string>

#include "jobs/entry_set.h"
#include "jobs/index_folder.h"
#include "runtime/comm/partition.h"
#include "runtime/data/filter.h"
#include "runtime/data/metadata_columns.h"

namespace tutti {

// Local; threads may share one.
class EntryFilter {
 public:
  // `where` is a filter as runtime/data/filter.h has them. The index must outlive this. Throws
  // Error(data) where it is none over the index's columns, or these are damaged.
  EntryFilter(const IndexFolder& index, const std::string& where);

  // Those of the entries that the filter is true of. Errors of MetadataColumns.
  EntrySet evaluate(Range entries) const;

 private:
  MetadataColumns metadata_;
  Filter filter_;
};

// Those of the entries that are there to be found: not deleted, and, with a filter, such that it is
// true of them. Nothing where that is all of them by the manifest alone. Errors of both. Local.
std::optional<EntrySet> wanted_entries(const IndexFolder& index, Range entries,
                                       const EntryFilter* filter = nullptr);

}  // namespace tutti
