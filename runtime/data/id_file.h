// A file of ids, one a line, as users write it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/id_key.h"
#include "runtime/data/metadata_record.h"

namespace tutti {

// In memory. Local.
class IdFile {
 public:
  // External ids of that type, or, where it is none, ids, which are integers of 0 and more. Lines
  // without a character are passed over; a carriage return at a line's end is no part of it. Throws
  // Error(data) naming the line of `place` that holds no id.
  IdFile(std::string bytes, std::string place, ExternalIdType type);
  // The same of a file. Throws Error(usage) where there is none.
  static IdFile open(const std::filesystem::path& path, ExternalIdType type);

  std::int64_t count() const { return std::int64_t(keys_.size()); }
  const std::vector<IdKey>& keys() const { return keys_; }
  std::string_view text(std::int64_t index) const;
  // "old.txt, line 17".
  std::string place_of(std::int64_t index) const;
  // Of all bytes.
  std::string digest() const;

 private:
  struct Line {
    std::int64_t number;
    std::size_t begin, length;
  };
  void add(const Line& line, ExternalIdType type);

  std::string bytes_, place_;
  std::vector<Line> lines_;  // those that hold an id
  std::vector<IdKey> keys_;  // of each
};

}  // namespace tutti
