#include "jobs/pair_finder.h"

#include <algorithm>
#include <optional>

#include "jobs/entry_filter.h"
#include "jobs/published_distance.h"
#include "jobs/vector_column.h"
#include "kernels/vector/packed_vectors.h"

namespace tutti {
namespace {

// One more, which is the vector itself.
std::int64_t most_kept(const PairSearch& search) {
  return search.most > 0 ? search.most + 1 : TopK::kAll;
}

}  // namespace

PairFinder::PairFinder(JobContext& context, const IndexFolder& index, const PairSearch& search)
    : context_(context),
      comm_(context.comm),
      index_(index),
      search_(search),
      searcher_(context, index, most_kept(search), search.memory,
                {index.vectors * (search.nprobe > 0 ? search.nprobe : index.nlist)}) {}

// Ranks share the rows out; everyone gets all of them.
void PairFinder::load(Range entries) {
  const auto timed = context_.phases.measure("load");
  const Range part = part_of(entries.size(), comm_.size(), comm_.rank());
  std::vector<float> vectors;
  std::vector<std::int64_t> ids;
  comm_.attempt([&] {
    const std::optional<EntrySet> live =
        wanted_entries(index_, {entries.begin + part.begin, entries.begin + part.end});
    std::vector<float> vector(std::size_t(index_.dim));
    VectorColumn column(index_.dataset, "entries");
    in_pieces(part.size(), column.row_bytes(), [&](std::int64_t at, std::int64_t count) {
      const std::int64_t begin = entries.begin + part.begin + at;
      const VectorRows rows(column.read(begin, count).data(), column.dtype(), count, index_.dim,
                            index_.dim);
      const auto theirs = column.read_ids(begin, count);
      for (std::int64_t i = 0; i < count; ++i) {
        if (live && !live->contains(begin + i)) continue;
        copy_row(rows, i, vector.data());
        vectors.insert(vectors.end(), vector.begin(), vector.end());
        ids.push_back(theirs[std::size_t(i)]);
      }
    });
  });
  vectors_ = comm_.all_gather(std::span<const float>(vectors));
  ids_ = comm_.all_gather(std::span<const std::int64_t>(ids));
}

std::vector<VectorPair> PairFinder::find(Range entries) {
  load(entries);
  const ConstMatrixView<float> queries(vectors_.data(), std::ssize(ids_), index_.dim);
  const NeighborLists found = search_.nprobe == 0
                                  ? searcher_.exact_within(queries, search_.limit)
                                  : searcher_.probe_within(queries, search_.nprobe, search_.limit);
  const bool all = search_.nprobe == 0 && search_.most == 0;
  std::vector<VectorPair> pairs;
  for (std::int64_t q = 0; q < found.queries(); ++q) {
    const std::int64_t id = ids_[std::size_t(q)];
    std::int64_t others = 0;
    for (const Neighbor& n : found.of(q)) {
      if (n.id == id || (all && n.id < id)) continue;
      if (search_.most > 0 && ++others > search_.most) break;
      pairs.push_back(
          {std::min(id, n.id), std::max(id, n.id), published_distance(n.distance, index_.metric)});
    }
  }
  std::ranges::sort(pairs, pair_before);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

}  // namespace tutti
