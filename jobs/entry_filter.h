// Which entries of an index a filter over their metadata takes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "jobs/index_folder.h"
#include "runtime/comm/partition.h"
#include "runtime/data/filter.h"
#include "runtime/data/metadata_columns.h"

namespace tutti {

// Some of consecutive rows of the table `entries`, over all shards.
class EntrySet {
 public:
  explicit EntrySet(Range entries)
      : entries_(entries), bits_(std::size_t(Filter::words_of(entries.size()))) {}

  Range entries() const { return entries_; }
  bool contains(std::int64_t entry) const {
    const auto at = std::uint64_t(entry - entries_.begin);
    return bits_[at / 64] >> (at % 64) & 1;
  }
  // How many of a part of the rows are in it.
  std::int64_t count(Range part) const;

  // Bit r % 64 of word r / 64 is row r's, counted from the first.
  std::span<std::uint64_t> bits() { return bits_; }

 private:
  Range entries_;
  std::vector<std::uint64_t> bits_;
};

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

}  // namespace tutti
