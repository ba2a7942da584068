#include "jobs/ranked_lists.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "jobs/query_lists_message.h"
#include "kernels/core/parallel.h"

namespace tutti {
namespace {

constexpr std::int64_t kMany = 1024;  // queries whose codes are sooner gathered than made

// What each rank has found of the queries of this one's part.
std::vector<QueryLists<RankedNeighbor>> exchange(Comm& comm, RankedNeighbors found) {
  ByteLists to_ranks;
  for (int r = 0; r < comm.size(); ++r) {
    const Range part = part_of(std::int64_t(found.size()), comm.size(), r);
    QueryLists<RankedNeighbor> lists;
    for (std::int64_t q = part.begin; q < part.end; ++q) lists.add(found[std::size_t(q)]);
    to_ranks.push_back(message_of(lists));
  }
  found.clear();
  std::vector<QueryLists<RankedNeighbor>> parts;
  for (const auto& message : comm.all_to_all(to_ranks))
    parts.push_back(lists_in<RankedNeighbor>(message));
  return parts;
}

// The keys of this rank's candidates of a part of the queries, `depth` of each.
std::vector<std::byte> keys_of(const Candidates& candidates, Range part) {
  const std::int64_t depth = candidates.depth();
  std::vector<std::byte> message(std::size_t(part.size() * depth) * sizeof(float));
  std::vector<float> keys(std::size_t(depth), 0);
  auto to = message.begin();
  for (std::int64_t q = part.begin; q < part.end; ++q) {
    candidates.write_keys(q, keys);
    to = std::ranges::copy(std::as_bytes(std::span(keys)), to).out;
  }
  return message;
}

// The key that `depth` of all ranks' candidates do not exceed, of each query; infinity where there
// are fewer. Each rank finds those of its part.
std::vector<float> limits_over_ranks(Comm& comm, const Candidates& candidates) {
  const auto depth = std::size_t(candidates.depth());
  ByteLists to_ranks;
  for (int r = 0; r < comm.size(); ++r)
    to_ranks.push_back(keys_of(candidates, part_of(candidates.queries(), comm.size(), r)));
  const ByteLists parts = comm.all_to_all(to_ranks);
  const Range mine = part_of(candidates.queries(), comm.size(), comm.rank());
  std::vector<float> limits(std::size_t(mine.size()));
  parallel_for(mine.size(), [&](std::int64_t q) {
    std::vector<float> keys(parts.size() * depth);
    auto to = std::as_writable_bytes(std::span(keys)).begin();
    for (const auto& part : parts)
      to = std::ranges::copy(std::span(part).subspan(std::size_t(q) * depth * sizeof(float),
                                                     depth * sizeof(float)),
                             to)
               .out;
    const auto last = keys.begin() + std::ptrdiff_t(depth - 1);
    std::ranges::nth_element(keys, last);
    limits[std::size_t(q)] = *last;
  });
  return gather_parts(comm, std::move(limits), candidates.queries(), 1);
}

}  // namespace

QueryCodes encode_together(Comm& comm, const CodeSpace& space, ConstMatrixView<float> queries) {
  if (comm.size() == 1 || queries.rows < kMany) return space.encode_queries(VectorRows(queries));
  const Range part = part_of(queries.rows, comm.size(), comm.rank());
  QueryCodes codes = space.encode_queries(VectorRows(queries.row_range(part.begin, part.size())));
  codes.values = gather_parts(comm, std::move(codes.values), queries.rows, codes.row_bytes());
  codes.queries = gather_parts(comm, std::move(codes.queries), queries.rows, 1);
  return codes;
}

std::vector<std::int32_t> share_limits(Comm& comm, Candidates& candidates) {
  std::vector<std::int32_t> lacking;
  if (comm.size() == 1) {
    for (std::int64_t q = 0; q < candidates.queries(); ++q)
      if (!candidates.is_full(q)) lacking.push_back(std::int32_t(q));
    return lacking;
  }
  const std::vector<float> limits = limits_over_ranks(comm, candidates);
  for (std::int64_t q = 0; q < candidates.queries(); ++q) {
    const float limit = limits[std::size_t(q)];
    candidates.lower(q, limit);
    if (limit == std::numeric_limits<float>::infinity()) lacking.push_back(std::int32_t(q));
  }
  return lacking;
}

std::vector<Neighbor> nearest_of_all(Comm& comm, RankedNeighbors found, std::int64_t depth,
                                     std::int64_t k) {
  std::vector<QueryLists<RankedNeighbor>> parts;
  if (comm.size() > 1) {
    const Range mine = part_of(std::int64_t(found.size()), comm.size(), comm.rank());
    parts = exchange(comm, std::move(found));
    found.assign(std::size_t(mine.size()), {});
  }
  std::vector<Neighbor> best(found.size() * std::size_t(k));
  parallel_for(std::int64_t(found.size()), [&](std::int64_t q) {
    std::vector<RankedNeighbor> all = std::move(found[std::size_t(q)]);
    for (const QueryLists<RankedNeighbor>& part : parts)
      all.insert(all.end(), part.of(q).begin(), part.of(q).end());
    nearest_of(std::move(all), depth, std::span(best).subspan(std::size_t(q * k), std::size_t(k)));
  });
  return best;
}

}  // namespace tutti
