// Which list each row of the vectors goes to, kept through kills.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/comm/partition.h"

namespace tutti {

// The lists of consecutive rows, as far as they are known. Local.
//
// Files of a folder keep them: each the lists (i32) of some consecutive rows, which its name tells,
// behind a digest of them and of the key. Starts on another number of ranks left files of other
// rows; all that verify are believed.
class AssignedRows {
 public:
  static constexpr std::int32_t kNone = -1;  // of a row that is left out

  // Reads what earlier starts left in the folder, if there is one. `key`: a digest of all that the
  // lists follow from. Throws Error(io).
  AssignedRows(std::filesystem::path folder, std::string key, Range rows);

  Range rows() const { return rows_; }
  // Needs a row that is known.
  std::int32_t list_of(std::int64_t row) const { return lists_[std::size_t(row - rows_.begin)]; }
  std::vector<std::int64_t> unknown(Range rows) const;
  std::int64_t known() const { return known_; }
  // Rows that earlier starts knew.
  std::int64_t found() const { return found_; }

  void set(std::int64_t row, std::int32_t list);
  // All of these rows are known. They become durable, with others before them, where as much time
  // has passed that this costs little; returns whether they did. Throws Error(io).
  bool add(Range rows);
  // Makes durable what is not. Throws Error(io).
  void flush();

 private:
  void load(const std::filesystem::path& file);
  bool is_worth_it() const;

  std::filesystem::path folder_;
  std::string key_;
  Range rows_, pending_;
  std::vector<std::int32_t> lists_;
  std::int64_t known_ = 0, found_ = 0;
  std::chrono::steady_clock::time_point flushed_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration cost_ = {};  // of the last time
};

}  // namespace tutti
