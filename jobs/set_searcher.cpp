#include "jobs/set_searcher.h"

#include <algorithm>

namespace tutti {
namespace {

// Bytes that the vectors of an index take, to share memory by.
double weight_of(const IndexFolder& index) {
  return double(index.vectors) * double(size_of(index.storage)) + 1;
}

}  // namespace

SetSearcher::SetSearcher(JobContext& context, const IndexSet& indexes, std::int64_t k,
                         std::int64_t memory_bytes, const SetScope& scope)
    : indexes_(indexes), k_(k), by_lists_(scope.by == SearchScope::By::lists) {
  double all = 0;
  for (std::int64_t i = 0; i < indexes.size(); ++i) all += weight_of(indexes[i]);
  for (std::int64_t i = 0; i < indexes.size(); ++i) {
    const IndexFolder& index = indexes[i];
    const std::int64_t lists = scope.all_lists ? index.nlist
                               : by_lists_     ? std::min(scope.nprobe, index.nlist)
                                               : 0;
    const auto share = std::int64_t(double(memory_bytes) * (weight_of(index) / all));
    const EntryFilter* filter = scope.filters.empty() ? nullptr : &scope.filters[std::size_t(i)];
    searchers_.emplace_back(
        context, index, k, share,
        SearchScope{scope.queries * lists, filter, scope.plan, scope.rank_by, scope.candidates,
                    scope.codes, scope.by, scope.sample, std::min(scope.nprobe, index.nlist)});
  }
}

void SetSearcher::prepare() {
  for (IndexSearcher& searcher : searchers_) searcher.prepare();
}

std::int64_t SetSearcher::passing() const {
  std::int64_t sum = 0;
  for (const IndexSearcher& searcher : searchers_) sum += searcher.passing();
  return sum;
}

std::vector<IndexSearcher::Resident> SetSearcher::resident() {
  std::vector<IndexSearcher::Resident> all;
  for (IndexSearcher& searcher : searchers_) all.push_back(searcher.resident());
  return all;
}

std::int64_t SetSearcher::held_bytes() const {
  std::int64_t sum = 0;
  for (const IndexSearcher& searcher : searchers_) sum += searcher.held_bytes();
  return sum;
}

std::int64_t SetSearcher::compared() const {
  std::int64_t sum = 0;
  for (const IndexSearcher& searcher : searchers_) sum += searcher.compared();
  return sum;
}

std::int64_t SetSearcher::probes_of(std::size_t index, std::int64_t nprobe) const {
  return by_lists_ ? std::min(nprobe, indexes_[std::int64_t(index)].nlist) : nprobe;
}

std::vector<ProbePlan> SetSearcher::plans(std::int64_t nprobe) const {
  std::vector<ProbePlan> plans;
  for (std::size_t i = 0; i < searchers_.size(); ++i)
    plans.push_back(searchers_[i].plan(probes_of(i, nprobe)));
  return plans;
}

std::vector<FoundNeighbor> SetSearcher::probe(ConstMatrixView<float> queries, std::int64_t nprobe) {
  std::vector<std::vector<Neighbor>> found;
  for (std::size_t i = 0; i < searchers_.size(); ++i)
    found.push_back(searchers_[i].probe(queries, probes_of(i, nprobe)));
  return merge(found);
}

std::vector<FoundNeighbor> SetSearcher::exact(ConstMatrixView<float> queries) {
  std::vector<std::vector<Neighbor>> found;
  for (IndexSearcher& searcher : searchers_) found.push_back(searcher.exact(queries));
  return merge(found);
}

FoundLists SetSearcher::probe_within(ConstMatrixView<float> queries, std::int64_t nprobe,
                                     float limit) {
  std::vector<NeighborLists> found;
  for (std::size_t i = 0; i < searchers_.size(); ++i)
    found.push_back(searchers_[i].probe_within(queries, probes_of(i, nprobe), limit));
  return merge(found);
}

FoundLists SetSearcher::exact_within(ConstMatrixView<float> queries, float limit) {
  std::vector<NeighborLists> found;
  for (IndexSearcher& searcher : searchers_) found.push_back(searcher.exact_within(queries, limit));
  return merge(found);
}

std::vector<FoundNeighbor> SetSearcher::merge(
    const std::vector<std::vector<Neighbor>>& found) const {
  std::vector<FoundNeighbor> best, row;
  for (const Neighbor& n : found.front()) best.push_back(found_in(0, n));
  for (std::size_t i = 1; i < found.size(); ++i)
    for (std::size_t at = 0; at < best.size(); at += std::size_t(k_)) {
      const auto begin = best.begin() + std::ptrdiff_t(at), end = begin + k_;
      row.assign(begin, end);
      for (std::size_t j = at; j < at + std::size_t(k_); ++j)
        row.push_back(found_in(std::int32_t(i), found[i][j]));
      std::partial_sort_copy(row.begin(), row.end(), begin, end, found_before);
    }
  return best;
}

FoundLists SetSearcher::merge(const std::vector<NeighborLists>& found) const {
  FoundLists all;
  std::vector<FoundNeighbor> row;
  for (std::int64_t q = 0; q < found.front().queries(); ++q) {
    row.clear();
    for (std::size_t i = 0; i < found.size(); ++i)
      for (const Neighbor& n : found[i].of(q)) row.push_back(found_in(std::int32_t(i), n));
    std::ranges::sort(row, found_before);
    if (std::int64_t(row.size()) > k_) row.resize(std::size_t(k_));
    all.add(row);
  }
  return all;
}

}  // namespace tutti
