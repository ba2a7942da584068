// Rows of a table that stand for all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/comm/partition.h"

namespace tutti {

// `size` of `rows` rows, a function of the arguments alone: one, drawn by the seed, out of each of
// as many equal runs of rows. Of a table so large that this would read all its blocks and
// a quarter of them would do, it is a stretch of rows out of each of `most_places` runs. Local.
class RowSample {
 public:
  static constexpr std::int64_t kPlaces = 16384;

  // 0 <= size <= rows. `row_bytes`: of a row on disk.
  RowSample(std::int64_t rows, std::int64_t row_bytes, std::int64_t size, std::uint64_t seed,
            std::int64_t most_places = kPlaces);

  std::int64_t size() const { return size_; }
  // Rows [part.begin, part.end) of the sample, as rows of the table; ascending.
  std::vector<std::int64_t> rows_of(Range part) const;

 private:
  std::int64_t rows_, size_, places_;
  std::uint64_t seed_;
};

}  // namespace tutti
