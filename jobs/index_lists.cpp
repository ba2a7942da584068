#include "jobs/index_lists.h"

#include <algorithm>
#include <span>

#include "jobs/deleted_entries.h"
#include "runtime/base/error.h"
#include "runtime/data/paths.h"

namespace tutti {

IndexLists::IndexLists(const IndexFolder& index)
    : live_(live_entries(index, {0, index.dataset.rows("entries")})) {
  for (const Segment& segment : index.segments) add_segment(index, segment);
}

void IndexLists::add_segment(const IndexFolder& index, const Segment& segment) {
  const Dataset& dataset = index.dataset;
  std::vector<std::int64_t>& first = first_entries_.emplace_back();
  for (std::int64_t shard = segment.shards.begin; shard < segment.shards.end; ++shard) {
    const Range lists = dataset.shard_rows("lists", shard),
                entries = dataset.shard_rows("entries", shard);
    std::vector<std::int64_t> sizes(std::size_t(lists.size()));
    dataset.read(dataset.column("lists", "entries"), lists.begin, lists.size(), std::span(sizes));
    std::int64_t next = entries.begin;
    for (const std::int64_t size : sizes) {
      first.push_back(next);
      next += std::clamp<std::int64_t>(size, -1, entries.size() + 1);
      if (next < first.back() || next > entries.end) break;
    }
    if (next != entries.end)
      throw Error(ExitCode::data, "the table of lists does not fit the entries",
                  (dataset.folder() / shard_file(shard)).string(), "build the index again");
  }
  first.push_back(index.entries_of(segment.shards).end);
}

std::vector<std::int64_t> IndexLists::sizes() const {
  std::vector<std::int64_t> sizes(first_entries_[0].size() - 1);
  for (const auto& first : first_entries_)
    for (std::size_t list = 0; list < sizes.size(); ++list)
      sizes[list] += live_.count({first[list], first[list + 1]});
  return sizes;
}

void IndexLists::for_each_piece(std::int64_t list, std::int64_t most_rows,
                                const std::function<void(Range)>& take) const {
  for (const auto& first : first_entries_) {
    const std::int64_t end = first[std::size_t(list) + 1];
    std::int64_t begin = first[std::size_t(list)];
    while (begin < end) {
      std::int64_t next = begin;
      while (next < end && next - begin < most_rows && live_.contains(next)) ++next;
      if (next > begin) take({begin, next});
      begin = next;
      while (begin < end && !live_.contains(begin)) ++begin;
    }
  }
}

}  // namespace tutti
