// The nearest neighbours of batches of queries, over all ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "jobs/entry_filter.h"
#include "jobs/graph_searcher.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/list_scanner.h"
#include "jobs/neighbor_lists.h"
#include "jobs/probe_ranker.h"
#include "kernels/vector/assign.h"

namespace tutti {

// What is searched among, and how often.
struct SearchScope {
  std::int64_t probes = 0;              // lists that will be looked at, over all queries
  const EntryFilter* filter = nullptr;  // those that it takes, or all
  enum class Plan { automatic, exact, lists } plan = Plan::automatic;  // how, where there is one
  // What decides in the lists that are probed: codes, by which so many candidates are found whose
  // distances are then measured, or the distances of all. automatic: codes where the index has a
  // space for them.
  enum class RankBy { automatic, codes, distances } rank_by = RankBy::automatic;
  std::int64_t candidates = 0;         // 0: what suits the number of neighbours
  CodeParts codes = CodeParts::whole;  // by which candidates are found
  // What a probing search goes by: the lists, or the index's graph (jobs/graph_searcher.h). No
  // filter goes with a graph.
  enum class By { lists, graph } by = By::lists;
  // Queries like those to come, the same on all ranks, and the lists that each will look into:
  // ranks share the lists out by how often they are looked into. None: by their sizes alone.
  ConstMatrixView<float> sample = {nullptr, 0, 0};
  std::int64_t nprobe = 0;
};

// What a probing search looks at: all vectors, or those in so many lists.
struct ProbePlan {
  bool exact = false;
  std::int64_t lists = 0;
};

// The plan for a filter that takes `passing` of `vectors` vectors. The rarer they are, the more
// lists hold as many as `nprobe` lists have vectors, which are as near to a query among their like.
// Few, or those of most lists, are all looked at.
ProbePlan plan_probes(SearchScope::Plan wanted, std::int64_t passing, std::int64_t vectors,
                      std::int64_t nprobe, std::int64_t nlist);

// Every rank scans the lists of its contiguous range of shards, or, where that would make some work
// longer than others, what jobs/list_shares.h gives it; what the ranks find is merged by (distance,
// id), or (key, id) where codes decide, so the result has the same bytes on any number of ranks.
// Queries are the same on all ranks, of unit length under cosine. All functions are collective and
// throw Error on all ranks.
class IndexSearcher {
 public:
  // `memory_bytes`: of the index, held by a rank at a time. The index and the scope's filter must
  // outlive the searcher.
  IndexSearcher(JobContext& context, const IndexFolder& index, std::int64_t k,
                std::int64_t memory_bytes, const SearchScope& scope = {});

  // Vectors of the scope, over all ranks.
  std::int64_t passing() const { return passing_; }
  // What probe() does: without a filter, as it is told.
  ProbePlan plan(std::int64_t nprobe) const;

  // Reads and makes now what the first probe would.
  void prepare();

  // The k nearest of each query among the scope's vectors that plan(nprobe) has it look at, in the
  // nearest lists; row by row, padded; on the root, and nothing elsewhere. `nprobe` is at most
  // index.nlist; of a search by the graph it is the walks' breadth. Where codes decide, some of the
  // k may be missed for others that are hardly farther; where all lists are probed they never do.
  std::vector<Neighbor> probe(ConstMatrixView<float> queries, std::int64_t nprobe);
  // The same among all of the scope's vectors.
  std::vector<Neighbor> exact(ConstMatrixView<float> queries);

  // The lists that probe() looks into, row by row, and how near each query is to its own.
  struct Probes {
    std::int64_t nprobe = 0;
    std::vector<std::int32_t> lists;
    std::vector<ProbeDistances> near;

    ConstMatrixView<std::int32_t> view() const {
      return {lists.data(), std::int64_t(near.size()), nprobe};
    }
  };
  // Those of all queries, on all ranks; the first `ordered` are the nearest, nearest first.
  Probes find_probes(ConstMatrixView<float> queries, std::int64_t nprobe, std::int64_t ordered);

  // How many candidates are measured of each query that codes decide for; 0 where distances do.
  std::int64_t candidates() const { return depth_; }

  // As probe and exact, of each query all that is at most `limit` away, a distance as
  // kernels/vector has it, as long as it is among the k nearest; k may be TopK::kAll.
  NeighborLists probe_within(ConstMatrixView<float> queries, std::int64_t nprobe, float limit);
  NeighborLists exact_within(ConstMatrixView<float> queries, float limit);

  // What all ranks have in memory from batch to batch. Where it is codes alone, the vectors that
  // they find are read from the shards; where it is nothing, all lists that are looked at.
  enum class Resident { nothing, codes, vectors };
  Resident resident();
  // Bytes of vectors, ids, codes and centroids that this rank held at a time, at most, in
  // searches so far. Local.
  std::int64_t held_bytes() const;
  // How many vectors this rank has compared with queries, a vector with a query being one, without
  // those of walks through a graph. Local.
  std::int64_t compared() const { return lists_->compared(); }

 private:
  std::optional<EntrySet> find_wanted();
  std::vector<ListPiece> share_lists_out(const EntrySet* wanted);
  void load_centroids();
  void scan_probes(ConstMatrixView<float> queries, ConstMatrixView<std::int32_t> probes,
                   std::span<TopK> found);
  std::vector<TopK> accumulators_within(std::int64_t queries, float limit) const;
  void share_thresholds(std::span<TopK> found);
  std::vector<Neighbor> merge(std::vector<TopK> found);
  QueryCodes encode_queries(ConstMatrixView<float> queries);
  RankedNeighbors rank_probes(ConstMatrixView<float> queries, const Probes& probes);
  void rank_outliers(const ProbingQueries& queries, const QueryCodes& codes,
                     RankedNeighbors& found);
  std::vector<Neighbor> merge(RankedNeighbors found);

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  std::int64_t k_;
  SearchScope scope_;
  std::optional<CodeSpace> entry_space_;  // of the index
  std::int64_t depth_ = 0;
  std::optional<GraphSearcher> graph_;
  std::optional<ListScanner> lists_;
  std::optional<ProbeRanker> ranker_;  // where codes decide
  std::int64_t passing_ = 0;
  bool prepared_ = false;
  std::vector<float> centroids_;  // read when first needed, like what follows from them
  std::optional<CodeSpace> space_;
  std::optional<CodedCentroids> coded_;
};

}  // namespace tutti
