#include "jobs/row_sample.h"

#include <algorithm>

#include "kernels/core/random.h"
#include "runtime/base/check.h"
#include "runtime/io/file_record.h"

namespace tutti {
namespace {

constexpr std::uint64_t kStream = 0;  // of the random numbers that draw the sample

// A row is verified, and so read, with its whole block.
bool reads_everything(std::int64_t rows, std::int64_t row_bytes, std::int64_t places) {
  return rows < 4 * places * (kBlockBytes / row_bytes + 1);
}

}  // namespace

RowSample::RowSample(std::int64_t rows, std::int64_t row_bytes, std::int64_t size,
                     std::uint64_t seed, std::int64_t most_places)
    : rows_(rows), size_(size), places_(size), seed_(seed) {
  CHECK(size >= 0 && size <= rows && row_bytes > 0 && most_places > 0);
  if (size > most_places && size < rows && !reads_everything(rows, row_bytes, most_places))
    places_ = most_places;
}

std::vector<std::int64_t> RowSample::rows_of(Range part) const {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = part.begin; i < part.end;) {
    const std::int64_t place = owner_of(size_, places_, i);
    const Range stretch = part_of(size_, places_, place), run = part_of(rows_, places_, place);
    const std::uint64_t drawn = random_u64(seed_, kStream, std::uint64_t(place));
    const std::int64_t first =
        run.begin + std::int64_t(drawn % std::uint64_t(run.size() - stretch.size() + 1));
    for (; i < std::min(part.end, stretch.end); ++i) rows.push_back(first + i - stretch.begin);
  }
  return rows;
}

}  // namespace tutti
