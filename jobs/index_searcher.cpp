#include "jobs/index_searcher.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "jobs/list_shares.h"
#include "jobs/ranked_lists.h"
#include "kernels/vector/assign.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

// So few vectors are looked at as quickly as many lists are found. Of all ranks, for the plan may
// not depend on their number.
constexpr std::int64_t kFew = 1 << 15;

// So many of which hardly a neighbour is missing that is in the lists.
std::int64_t candidates_for(std::int64_t k, CodeParts codes) {
  return codes == CodeParts::prefix ? 4 * k + 20 : k + std::max<std::int64_t>(6, k / 2);
}

// A code takes as long to make as some distances to measure: the more, the more dimensions.
bool codes_are_worth_it(const IndexFolder& index, std::int64_t probes) {
  constexpr double kQueriesPerDimension = 1.0 / 16;
  return double(probes) >= double(index.nlist) * double(index.dim) * kQueriesPerDimension;
}

// Of `vectors`, those that are measured for k neighbours.
std::int64_t measured_of(std::int64_t k, const SearchScope& scope, std::int64_t vectors) {
  const std::int64_t most = std::max<std::int64_t>(1, vectors), least = std::min(k, most);
  return std::clamp(scope.candidates > 0 ? scope.candidates : candidates_for(least, scope.codes),
                    least, most);
}

template <class T>
std::vector<T> values_in(std::span<const std::byte> message) {
  std::vector<T> values(message.size() / sizeof(T));
  std::ranges::copy(message, std::as_writable_bytes(std::span(values)).begin());  // may be empty
  return values;
}

template <class T>
std::vector<std::byte> message_of(std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

ProbePlan plan_probes(SearchScope::Plan wanted, std::int64_t passing, std::int64_t vectors,
                      std::int64_t nprobe, std::int64_t nlist) {
  const double as_many =
      std::ceil(double(nprobe) * double(vectors) / double(std::max<std::int64_t>(1, passing)));
  const std::int64_t lists = std::int64_t(std::min(as_many, double(nlist)));
  const bool worth_it = passing <= kFew || 2 * lists >= nlist;
  const bool exact =
      wanted == SearchScope::Plan::automatic ? worth_it : wanted == SearchScope::Plan::exact;
  return {exact, exact ? nlist : lists};
}

IndexSearcher::IndexSearcher(JobContext& context, const IndexFolder& index, std::int64_t k,
                             std::int64_t memory_bytes, const SearchScope& scope)
    : context_(context), comm_(context.comm), index_(index), k_(k), scope_(scope) {
  if (scope.by == SearchScope::By::graph) {
    const bool all = scope.rank_by == SearchScope::RankBy::distances;
    graph_.emplace(context, index, k, all ? 0 : measured_of(k, scope, index.vectors), memory_bytes);
    memory_bytes -= graph_->held_bytes();
  }
  std::optional<EntrySet> wanted = find_wanted();
  passing_ = wanted ? wanted->count() : index.dataset.rows("entries");
  const std::vector<ListPiece> pieces = share_lists_out(wanted ? &*wanted : nullptr);
  const auto timed = context_.phases.measure("load");
  comm_.attempt([&] {
    entry_space_ = index.read_code_space();
    if (scope.rank_by == SearchScope::RankBy::codes && !entry_space_)
      throw Error(ExitCode::data, "the index has no space for codes, by which to rank",
                  index.dataset.folder().string(),
                  "build the index again, or give search.rank_by = \"distances\"");
    lists_.emplace(index, pieces, memory_bytes,
                   ScannedCodes{codes_are_worth_it(index, scope.probes),
                                entry_space_ ? &*entry_space_ : nullptr, scope.codes},
                   std::move(wanted));
  });
  if (entry_space_ && scope.rank_by != SearchScope::RankBy::distances) {
    depth_ = measured_of(k, scope, passing_);
    ranker_.emplace(context_, *lists_, depth_);
  }
}

// Of all entries. Ranks look through a part of them each, in whole words of bits.
std::optional<EntrySet> IndexSearcher::find_wanted() {
  if (!scope_.filter && index_.deleted() == 0) return std::nullopt;
  constexpr std::int64_t kWord = 64;
  const auto timed = context_.phases.measure("filter");
  const Range entries{0, index_.dataset.rows("entries")};
  const Range words = part_of((entries.size() + kWord - 1) / kWord, comm_.size(), comm_.rank());
  std::optional<EntrySet> mine, all;
  comm_.attempt([&] {
    const Range part{std::min(entries.end, words.begin * kWord),
                     std::min(entries.end, words.end * kWord)};
    mine = wanted_entries(index_, part, scope_.filter);
    all.emplace(entries);
  });
  const std::vector<std::uint64_t> bits =
      comm_.all_gather(std::span<const std::uint64_t>(mine->bits()));
  std::ranges::copy(bits, all->bits().begin());
  return all;
}

// This rank's pieces of lists.
std::vector<ListPiece> IndexSearcher::share_lists_out(const EntrySet* wanted) {
  std::vector<ListPiece> mine;
  comm_.attempt(
      [&] { mine = lists_in(index_, index_.shards_of(comm_.size(), comm_.rank()), wanted); });
  const ProbePlan plan = this->plan(scope_.nprobe);
  if (comm_.size() == 1 || scope_.sample.rows == 0 || plan.exact) return mine;
  std::vector<std::int64_t> times(std::size_t(index_.nlist));
  for (const std::int32_t list : find_probes(scope_.sample, plan.lists, kFirstProbes).lists)
    ++times[std::size_t(list)];
  std::vector<std::vector<ListPiece>> shares(std::size_t(comm_.size()));
  const std::vector<ListPiece> all = comm_.all_gather(std::span<const ListPiece>(mine));
  const auto timed = context_.phases.measure("load");
  auto from = all.begin();
  for (int r = 0; r < comm_.size(); ++r) {
    const std::int64_t end = index_.entries_of(index_.shards_of(comm_.size(), r)).end;
    const auto to = std::ranges::lower_bound(
        from, all.end(), end, {}, [](const ListPiece& piece) { return piece.entries.begin; });
    shares[std::size_t(r)].assign(from, to);
    from = to;
  }
  return balance_scans(std::move(shares), times, wanted)[std::size_t(comm_.rank())];
}

ProbePlan IndexSearcher::plan(std::int64_t nprobe) const {
  if (!scope_.filter) return {false, nprobe};
  return plan_probes(scope_.plan, passing_, index_.vectors, nprobe, index_.nlist);
}

std::vector<Neighbor> IndexSearcher::probe(ConstMatrixView<float> queries, std::int64_t nprobe) {
  if (graph_) return graph_->search(queries, nprobe);
  const ProbePlan plan = this->plan(nprobe);
  if (plan.exact || plan.lists == index_.nlist) return exact(queries);
  const Probes probes = find_probes(queries, plan.lists, kFirstProbes);
  if (ranker_) return merge(rank_probes(queries, probes));
  std::vector<TopK> found(std::size_t(queries.rows), TopK(k_));
  scan_probes(queries, probes.view(), found);
  return merge(std::move(found));
}

// All vectors, once the nearest lists have told how near the neighbours are.
std::vector<Neighbor> IndexSearcher::exact(ConstMatrixView<float> queries) {
  std::vector<TopK> found(std::size_t(queries.rows), TopK(k_));
  // Which lists are near takes longer to find than few vectors take to scan.
  if (passing_ >= 4 * index_.nlist && comm_.all_reduce_min(std::int64_t(lists_->is_resident()))) {
    const std::int64_t nprobe = std::min(kFirstProbes, index_.nlist);
    const Probes probes = find_probes(queries, nprobe, kFirstProbes);
    std::vector<TopK> first(found);
    scan_probes(queries, probes.view(), first);
    share_thresholds(first);
    for (std::size_t q = 0; q < found.size(); ++q) found[q].tighten(first[q].threshold());
  }
  {
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] { lists_->scan_all(queries, found); });
  }
  return merge(std::move(found));
}

IndexSearcher::Resident IndexSearcher::resident() {
  const Resident mine = lists_->is_resident() ? Resident::vectors
                        : lists_->has_codes() ? Resident::codes
                                              : Resident::nothing;
  return Resident(comm_.all_reduce_min(std::int64_t(mine)));
}

std::int64_t IndexSearcher::held_bytes() const {
  return lists_->held_bytes() + std::int64_t(centroids_.size() * sizeof(float)) +
         (coded_ ? coded_->bytes() : 0) + (graph_ ? graph_->held_bytes() : 0);
}

// The nearest lists first, so that little of the others comes into question.
void IndexSearcher::scan_probes(ConstMatrixView<float> queries,
                                ConstMatrixView<std::int32_t> probes, std::span<TopK> found) {
  const bool resident = comm_.all_reduce_min(std::int64_t(lists_->is_resident())) > 0;
  std::int64_t begin = 0;
  for (const std::int64_t wanted : {std::int64_t(1), kFirstProbes, probes.cols}) {
    const std::int64_t end = resident ? std::min(wanted, probes.cols) : probes.cols;
    if (end <= begin) continue;
    if (begin > 0) share_thresholds(found);
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] {
      lists_->scan_probed({queries, {probes.data + begin, probes.rows, end - begin, probes.stride}},
                          found);
    });
    begin = end;
  }
}

// What one rank has found, others need not look for.
void IndexSearcher::share_thresholds(std::span<TopK> found) {
  if (comm_.size() == 1) return;
  const auto timed = context_.phases.measure("merge");
  std::vector<float> thresholds(found.size());
  std::ranges::transform(found, thresholds.begin(), &TopK::threshold);
  comm_.all_reduce_min(std::span(thresholds));
  for (std::size_t q = 0; q < found.size(); ++q) found[q].tighten(thresholds[q]);
}

// The codes' space is that of the centroids, so that it is the same on all ranks.
void IndexSearcher::load_centroids() {
  if (coded_) return;
  centroids_ = index_.read_centroids();
  const ConstMatrixView<float> rows(centroids_.data(), index_.nlist, index_.dim);
  space_.emplace(CodeSpace::train(VectorRows(rows), index_.metric, true));
  coded_.emplace(*space_, rows);
}

void IndexSearcher::prepare() {
  if (graph_ || prepared_) return;
  const auto timed = context_.phases.measure("load");
  comm_.attempt([&] {
    load_centroids();
    if (depth_ > 0) lists_->load_codes();
  });
  prepared_ = true;
}

// Ranks share the queries out; everyone gets all probes.
IndexSearcher::Probes IndexSearcher::find_probes(ConstMatrixView<float> queries,
                                                 std::int64_t nprobe, std::int64_t ordered) {
  const auto timed = context_.phases.measure("coarse");
  if (!coded_) comm_.attempt([&] { load_centroids(); });
  const Range range = part_of(queries.rows, comm_.size(), comm_.rank());
  const ConstMatrixView<float> mine = queries.row_range(range.begin, range.size());
  std::vector<std::int32_t> lists(std::size_t(range.size() * nprobe));
  std::vector<ProbeDistances> near(std::size_t(range.size()));
  const QueryCodes codes = space_->encode_queries(VectorRows(mine));
  coded_->find_probes({mine, &codes}, {lists.data(), range.size(), nprobe}, ordered, near);
  return {nprobe, gather_parts(comm_, std::move(lists), queries.rows, nprobe),
          gather_parts(comm_, std::move(near), queries.rows, 1)};
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
    to_ranks.push_back(message_of(std::span<const Neighbor>(sorted)));
  }
  std::vector<Neighbor> best, next;
  for (const auto& message : comm_.all_to_all(to_ranks)) {
    const std::vector<Neighbor> theirs = values_in<Neighbor>(message);
    if (best.empty()) best.assign(theirs.size(), Neighbor{});
    next.resize(theirs.size());
    for (std::size_t at = 0; at < theirs.size(); at += k)
      merge_sorted(std::span(best).subspan(at, k), std::span(theirs).subspan(at, k),
                   std::span(next).subspan(at, k));
    std::swap(best, next);
  }
  return gather_on_root(comm_, std::move(best));
}

QueryCodes IndexSearcher::encode_queries(ConstMatrixView<float> queries) {
  const auto timed = context_.phases.measure("coarse");
  return encode_together(comm_, *entry_space_, queries);
}

// What this rank's lists hold.
RankedNeighbors IndexSearcher::rank_probes(ConstMatrixView<float> queries, const Probes& probes) {
  const ProbingQueries probing{queries, probes.view()};
  const QueryCodes codes = encode_queries(queries);
  prepare();
  RankedNeighbors found = ranker_->rank(probing, codes, probes.near);
  rank_outliers(probing, codes, found);
  return found;
}

// Queries so far outside of what the index holds that their codes tell little: by distances.
void IndexSearcher::rank_outliers(const ProbingQueries& queries, const QueryCodes& codes,
                                  RankedNeighbors& found) {
  std::vector<std::int32_t> outliers;
  for (std::int64_t q = 0; q < codes.count(); ++q)
    if (!(codes.queries[std::size_t(q)].radius <= entry_space_->axes().cap))
      outliers.push_back(std::int32_t(q));
  if (outliers.empty()) return;
  const QuerySelection selection(queries, outliers);
  std::vector<TopK> nearest(outliers.size(), TopK(k_));
  scan_probes(selection.queries().queries, selection.queries().probes, nearest);
  std::vector<Neighbor> sorted(static_cast<std::size_t>(k_));
  for (std::size_t i = 0; i < outliers.size(); ++i) {
    std::vector<RankedNeighbor>& mine = found[std::size_t(outliers[i])];
    mine.clear();
    nearest[i].write_sorted(sorted);
    for (const Neighbor& n : sorted)
      if (n.id >= 0) mine.push_back({n.distance, n.distance, n.id});
  }
}

// Each rank merges a range of the queries, and hands it to the root.
std::vector<Neighbor> IndexSearcher::merge(RankedNeighbors found) {
  const auto timed = context_.phases.measure("merge");
  return gather_on_root(comm_, nearest_of_all(comm_, std::move(found), depth_, k_));
}

std::vector<TopK> IndexSearcher::accumulators_within(std::int64_t queries, float limit) const {
  TopK empty(k_);
  empty.tighten(limit);
  return std::vector<TopK>(std::size_t(queries), empty);
}

NeighborLists IndexSearcher::probe_within(ConstMatrixView<float> queries, std::int64_t nprobe,
                                          float limit) {
  const ProbePlan plan = this->plan(nprobe);
  if (plan.exact) return exact_within(queries, limit);
  const Probes probes = find_probes(queries, plan.lists, kFirstProbes);
  std::vector<TopK> found = accumulators_within(queries.rows, limit);
  {
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] { lists_->scan_probed({queries, probes.view()}, found); });
  }
  const auto timed = context_.phases.measure("merge");
  return merge_lists(comm_, std::move(found));
}

NeighborLists IndexSearcher::exact_within(ConstMatrixView<float> queries, float limit) {
  std::vector<TopK> found = accumulators_within(queries.rows, limit);
  {
    const auto timed = context_.phases.measure("scan");
    comm_.attempt([&] { lists_->scan_all(queries, found); });
  }
  const auto timed = context_.phases.measure("merge");
  return merge_lists(comm_, std::move(found));
}

}  // namespace tutti
