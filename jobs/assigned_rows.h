// Which list each row of the vectors goes to, kept through kills.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/kept_ranges.h"
#include "runtime/comm/partition.h"

namespace tutti {

// The lists of consecutive rows, as far as they are known. Starts on another number of ranks left
// files of other rows; all are believed. Local.
class AssignedRows {
 public:
  static constexpr std::int32_t kNone = -1;  // of a row that is left out

  // Reads what earlier starts left in the folder, if there is one. `key`: a digest of all that the
  // lists follow from. Throws Error(io).
  AssignedRows(std::filesystem::path folder, std::string key, Range rows);

  // Needs a row that is known.
  std::int32_t list_of(std::int64_t row) const { return lists_[std::size_t(row - rows_.begin)]; }
  std::vector<std::int64_t> unknown(Range rows) const;
  std::int64_t known() const { return known_; }
  // Rows that earlier starts knew.
  std::int64_t found() const { return found_; }

  void set(std::int64_t row, std::int32_t list);
  // As KeptRanges::add; all of these rows are known.
  bool add(Range rows);
  void flush() { kept_.flush(); }

 private:
  void take(Range rows, std::string_view bytes);

  Range rows_;
  std::vector<std::int32_t> lists_;
  std::int64_t known_ = 0, found_ = 0;
  KeptRanges kept_;
};

}  // namespace tutti
