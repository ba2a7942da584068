// Neighbours within a radius on disk, as many a query as there are: those of query q are
// /neighbors[offsets[q] : offsets[q + 1]] and /distances likewise, nearest first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/spool.h"
#include "runtime/io/extent_file.h"

namespace tutti {

struct RangesShape {
  std::int64_t dim = 0;
  std::string distance;       // "euclidean", "angular", ...
  bool external_ids = false;  // integers
  bool indexes = false;       // the places of their indexes among several
};

// Writes ranges.h5. What is appended waits in temporary files, since how much it is shows at the
// end only. Local. Throws Error(io). Destroyed before finish(), it leaves nothing behind.
class RangesWriter {
 public:
  RangesWriter(const std::filesystem::path& folder, const RangesShape& shape);

  // The next queries: how many neighbours each has, and all of them.
  void append(std::span<const std::int64_t> counts, std::span<const std::int64_t> ids,
              std::span<const float> distances);
  void append_external_ids(std::span<const std::int64_t> ids);
  void append_indexes(std::span<const std::int32_t> places);
  std::int64_t neighbors() const { return offsets_.back(); }
  // CHECKs that there are as many of each, and makes the file durable. Once.
  FileRecord finish();

 private:
  std::filesystem::path folder_;
  RangesShape shape_;
  std::vector<std::int64_t> offsets_{0};
  std::vector<ColumnSpec> columns_;  // behind the offsets
  std::vector<Spool> spools_;        // one of these each
};

}  // namespace tutti
