#include "jobs/entry_filter.h"

#include <algorithm>

#include "jobs/deleted_entries.h"

namespace tutti {
namespace {

constexpr std::int64_t kRows = 1 << 16;  // that are in memory at a time; whole words of bits

}  // namespace

EntryFilter::EntryFilter(const IndexFolder& index, const std::string& where)
    : metadata_(index.dataset, "entries"), filter_(where, metadata_.columns()) {}

EntrySet EntryFilter::evaluate(Range entries) const {
  EntrySet taken(entries);
  for (std::int64_t begin = 0; begin < entries.size(); begin += kRows) {
    const std::int64_t rows = std::min(kRows, entries.size() - begin);
    const Range block{entries.begin + begin, entries.begin + begin + rows};
    const std::vector<ColumnValues> values = metadata_.read(filter_.columns(), block);
    filter_.evaluate(
        views_of(values), rows,
        taken.bits().subspan(std::size_t(begin / 64), std::size_t(Filter::words_of(rows))));
  }
  return taken;
}

std::optional<EntrySet> wanted_entries(const IndexFolder& index, Range entries,
                                       const EntryFilter* filter) {
  if (!filter && index.deleted() == 0) return std::nullopt;
  EntrySet wanted = live_entries(index, entries);
  if (filter) wanted.intersect(filter->evaluate(entries));
  return wanted;
}

}  // namespace tutti
