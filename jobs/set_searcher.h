// The nearest neighbours of batches of queries among several indexes.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "jobs/found_neighbor.h"
#include "jobs/index_searcher.h"
#include "jobs/index_set.h"

namespace tutti {

// How a set will be searched: what SearchScope says of each of its indexes.
struct SetScope {
  std::int64_t queries = 0, nprobe = 0;
  bool all_lists = false;                // perhaps looks at all lists, and not at nprobe alone
  std::span<const EntryFilter> filters;  // one an index, or none
  SearchScope::Plan plan = SearchScope::Plan::automatic;
  SearchScope::RankBy rank_by = SearchScope::RankBy::automatic;
  std::int64_t candidates = 0;
  CodeParts codes = CodeParts::whole;
  SearchScope::By by = SearchScope::By::lists;
  ConstMatrixView<float> sample = {nullptr, 0, 0};
};

// An IndexSearcher for each index, which share the memory; what they find is merged by (distance,
// index, id). All functions are collective, throw Error on all ranks, and do of several indexes
// what those of IndexSearcher do of one. `nprobe` may exceed an index's lists.
class SetSearcher {
 public:
  // The set and the scope's filters must outlive the searcher.
  SetSearcher(JobContext& context, const IndexSet& indexes, std::int64_t k,
              std::int64_t memory_bytes, const SetScope& scope);

  void prepare();
  std::int64_t passing() const;
  std::vector<ProbePlan> plans(std::int64_t nprobe) const;
  IndexSearcher& front() { return searchers_.front(); }
  // Of each index.
  std::vector<IndexSearcher::Resident> resident();
  // Of all. Local.
  std::int64_t held_bytes() const;
  std::int64_t compared() const;

  std::vector<FoundNeighbor> probe(ConstMatrixView<float> queries, std::int64_t nprobe);
  std::vector<FoundNeighbor> exact(ConstMatrixView<float> queries);
  FoundLists probe_within(ConstMatrixView<float> queries, std::int64_t nprobe, float limit);
  FoundLists exact_within(ConstMatrixView<float> queries, float limit);

 private:
  std::int64_t probes_of(std::size_t index, std::int64_t nprobe) const;
  std::vector<FoundNeighbor> merge(const std::vector<std::vector<Neighbor>>& found) const;
  FoundLists merge(const std::vector<NeighborLists>& found) const;

  const IndexSet& indexes_;
  std::int64_t k_;
  bool by_lists_;
  std::deque<IndexSearcher> searchers_;  // of each index
};

}  // namespace tutti
