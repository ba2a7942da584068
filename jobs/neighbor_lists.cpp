#include "jobs/neighbor_lists.h"

#include <algorithm>

#include "jobs/query_lists_message.h"
#include "runtime/comm/partition.h"

namespace tutti {
namespace {

// The first k of each query.
NeighborLists merged(const std::vector<NeighborLists>& parts, std::int64_t queries,
                     std::int64_t k) {
  NeighborLists all;
  std::vector<Neighbor> row;
  for (std::int64_t q = 0; q < queries; ++q) {
    row.clear();
    for (const NeighborLists& part : parts)
      row.insert(row.end(), part.of(q).begin(), part.of(q).end());
    std::ranges::sort(row, precedes);
    if (std::int64_t(row.size()) > k) row.resize(std::size_t(k));
    all.add(row);
  }
  return all;
}

}  // namespace

// Each rank merges a range of the queries and hands it to the root.
NeighborLists merge_lists(Comm& comm, std::vector<TopK> found) {
  const auto queries = std::int64_t(found.size());
  const std::int64_t k = found.empty() ? 1 : found.front().k();
  ByteLists to_ranks;
  for (int r = 0; r < comm.size(); ++r) {
    const Range mine = part_of(queries, comm.size(), r);
    NeighborLists lists;
    for (std::int64_t q = mine.begin; q < mine.end; ++q) {
      lists.add(found[std::size_t(q)].sorted());
      found[std::size_t(q)] = TopK(k);  // its memory
    }
    to_ranks.push_back(message_of(lists));
  }
  std::vector<NeighborLists> parts;
  for (const auto& message : comm.all_to_all(to_ranks))
    parts.push_back(lists_in<Neighbor>(message));
  to_ranks.clear();
  ByteLists to_root(std::size_t(comm.size()));
  to_root[0] = message_of(merged(parts, part_of(queries, comm.size(), comm.rank()).size(), k));
  parts.clear();
  NeighborLists all;
  for (const auto& message : comm.all_to_all(to_root)) {
    const NeighborLists part = lists_in<Neighbor>(message);
    for (std::int64_t q = 0; q < part.queries(); ++q) all.add(part.of(q));
  }
  return all;
}

std::vector<Neighbor> gather_on_root(Comm& comm, std::vector<Neighbor> mine) {
  if (comm.size() == 1) return mine;
  ByteLists messages(std::size_t(comm.size()));
  const auto bytes = std::as_bytes(std::span(mine));
  messages[0].assign(bytes.begin(), bytes.end());
  mine.clear();
  for (const auto& message : comm.all_to_all(messages)) {
    const std::size_t before = mine.size();
    mine.resize(before + message.size() / sizeof(Neighbor));
    std::ranges::copy(message, std::as_writable_bytes(std::span(mine).subspan(before)).begin());
  }
  return mine;
}

}  // namespace tutti
