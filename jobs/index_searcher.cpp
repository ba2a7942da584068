#include "jobs/index_searcher.h"

#include <algorithm>
#include <span>

#include "kernels/vector/assign.h"

namespace tutti {
namespace {

std::vector<Neighbor> neighbors_in(std::span<const std::byte> message) {
  std::vector<Neighbor> neighbors(message.size() / sizeof(Neighbor));
  std::ranges::copy(message, std::as_writable_bytes(std::span(neighbors)).begin());  // may be empty
  return neighbors;
}

std::vector<std::byte> message_of(std::span<const Neighbor> neighbors) {
  const auto bytes = std::as_bytes(neighbors);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

IndexSearcher::IndexSearcher(JobContext& context, const IndexFolder& index, std::int64_t k,
                             std::int64_t memory_bytes)
    : context_(context), comm_(context.comm), index_(index), k_(k) {
  const auto timed = context_.phases.measure("load");
  comm_.attempt([&] {
    lists_.emplace(index, part_of(index.dataset.manifest().shards(), comm_.size(), comm_.rank()),
                   memory_bytes);
  });
}

std::vector<Neighbor> IndexSearcher::probe(ConstMatrixView<float> queries, std::int64_t nprobe) {
  const std::vector<Neighbor> probes = find_probes(queries, nprobe);
  std::vector<TopK> found(std::size_t(queries.rows), TopK(k_));
  {
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] {
      lists_->scan_probed(queries, {probes.data(), queries.rows, nprobe}, found);
    });
  }
  return merge(std::move(found));
}

std::vector<Neighbor> IndexSearcher::exact(ConstMatrixView<float> queries) {
  std::vector<TopK> found(std::size_t(queries.rows), TopK(k_));
  {
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] { lists_->scan_all(queries, found); });
  }
  return merge(std::move(found));
}

// Ranks share the queries out; everyone gets all probes.
std::vector<Neighbor> IndexSearcher::find_probes(ConstMatrixView<float> queries,
                                                 std::int64_t nprobe) {
  const auto timed = context_.phases.measure("coarse");
  comm_.attempt([&] {
    if (centroids_.count() == 0)
      centroids_.pack(VectorRows(
          ConstMatrixView<float>(index_.read_centroids().data(), index_.nlist, index_.dim)));
  });
  const Range mine = part_of(queries.rows, comm_.size(), comm_.rank());
  std::vector<Neighbor> probes(std::size_t(mine.size() * nprobe));
  assign_probes(VectorRows(queries.row_range(mine.begin, mine.size())), centroids_, index_.metric,
                {probes.data(), mine.size(), nprobe});
  return comm_.all_gather(std::span<const Neighbor>(probes));
}

// Each rank merges a range of the queries, in order of rank, and hands it to the root.
std::vector<Neighbor> IndexSearcher::merge(std::vector<TopK> found) {
  const auto timed = context_.phases.measure("merge");
  const auto k = std::size_t(k_);
  ByteLists to_ranks;
  for (int r = 0; r < comm_.size(); ++r) {
    const Range queries = part_of(std::int64_t(found.size()), comm_.size(), r);
    std::vector<Neighbor> sorted(std::size_t(queries.size()) * k);
    for (std::int64_t q = queries.begin; q < queries.end; ++q)
      found[std::size_t(q)].write_sorted(
          std::span(sorted).subspan(std::size_t(q - queries.begin) * k, k));
    to_ranks.push_back(message_of(sorted));
  }
  std::vector<Neighbor> best, next;
  for (const auto& message : comm_.all_to_all(to_ranks)) {
    const std::vector<Neighbor> theirs = neighbors_in(message);
    if (best.empty()) best.assign(theirs.size(), Neighbor{});
    next.resize(theirs.size());
    for (std::size_t at = 0; at < theirs.size(); at += k)
      merge_sorted(std::span(best).subspan(at, k), std::span(theirs).subspan(at, k),
                   std::span(next).subspan(at, k));
    std::swap(best, next);
  }
  ByteLists to_root(std::size_t(comm_.size()));
  to_root[0] = message_of(best);
  best.clear();
  for (const auto& message : comm_.all_to_all(to_root)) {
    const std::vector<Neighbor> theirs = neighbors_in(message);
    best.insert(best.end(), theirs.begin(), theirs.end());
  }
  return best;
}

}  // namespace tutti
