// Some of an index's entries.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/comm/partition.h"

namespace tutti {

// Some of consecutive rows of the table `entries`, over all shards; at first none of them. Local.
class EntrySet {
 public:
  explicit EntrySet(Range entries);
  static EntrySet all_of(Range entries);

  Range entries() const { return entries_; }
  bool contains(std::int64_t entry) const {
    const auto at = std::uint64_t(entry - entries_.begin);
    return bits_[at / 64] >> (at % 64) & 1;
  }
  // How many of a part of the rows are in it.
  std::int64_t count(Range part) const;
  std::int64_t count() const { return count(entries_); }
  // The row of the n-th of those of a part that are, from 0: less than count(part).
  std::int64_t nth(Range part, std::int64_t n) const;
  // Those that are, ascending.
  std::vector<std::int64_t> members() const;

  void remove(std::int64_t entry) {
    const auto at = std::uint64_t(entry - entries_.begin);
    bits_[at / 64] &= ~(std::uint64_t(1) << (at % 64));
  }
  // Keeps what is in `other`, too, which is of the same rows.
  void intersect(const EntrySet& other);

  // Bit r % 64 of word r / 64 is row r's, counted from the first.
  std::span<std::uint64_t> bits() { return bits_; }

 private:
  Range entries_;
  std::vector<std::uint64_t> bits_;
};

}  // namespace tutti
