#include "kernels/vector/grouped_centroids.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/vector/assign.h"

namespace tutti {
namespace {

void check(const CentroidGroups& groups) {
  if (std::ssize(groups.starts) != groups.coarse.rows + 1 || groups.starts.front() != 0 ||
      groups.starts.back() != groups.centroids.rows || !std::ranges::is_sorted(groups.starts) ||
      groups.coarse.cols != groups.centroids.cols)
    throw std::invalid_argument("grouped centroids: the groups do not fit the centroids");
}

ConstMatrixView<float> members(const CentroidGroups& groups, std::int64_t group) {
  const std::int64_t begin = groups.starts[static_cast<std::size_t>(group)],
                     end = groups.starts[static_cast<std::size_t>(group) + 1];
  return groups.centroids.row_range(begin, end - begin);
}

}  // namespace

GroupedCentroids::GroupedCentroids(const CodeSpace& space, const CentroidGroups& groups)
    : space_(space), groups_(groups) {
  check(groups);
  coarse_.pack(VectorRows(groups.coarse));
  first_code_groups_.assign(1, 0);
  for (std::int64_t g = 0; g < groups.coarse.rows; ++g)
    first_code_groups_.push_back(first_code_groups_.back() +
                                 CodedVectors::groups_of(members(groups, g).rows));
  codes_ = CodedVectors(first_code_groups_.back(), space);
  parallel_for_dynamic(groups.coarse.rows, [&](std::int64_t g) {
    const ConstMatrixView<float> rows = members(groups_, g);
    std::vector<std::int8_t> codes(static_cast<std::size_t>(rows.rows * space_.code_dim()));
    const MatrixView<std::int8_t> view(codes.data(), rows.rows, space_.code_dim());
    space_.encode_vectors(VectorRows(rows), view);
    codes_.put(first_code_groups_[static_cast<std::size_t>(g)], view);
  });
}

// The nearest group first: little of the others then comes into question.
void GroupedCentroids::assign_nearest(const CodedQueries& vectors,
                                      std::span<Neighbor> nearest) const {
  const std::int64_t count = vectors.vectors.rows;
  if (std::ssize(nearest) != count)
    throw std::invalid_argument("assign: the output must have one row per vector");
  if (count == 0) return;
  const std::int64_t width = std::min(kProbes, groups_.coarse.rows);
  std::vector<Neighbor> probes(static_cast<std::size_t>(count * width));
  assign_probes(VectorRows(vectors.vectors), coarse_, space_.axes().metric,
                {probes.data(), count, width});
  std::vector<TopK> results(nearest.size(), TopK(1));
  scan(vectors, {probes.data(), count, 1, width}, results);
  if (width > 1) scan(vectors, {probes.data() + 1, count, width - 1, width}, results);
  for (std::size_t i = 0; i < results.size(); ++i) results[i].write_sorted({&nearest[i], 1});
}

void GroupedCentroids::scan(const CodedQueries& vectors, ConstMatrixView<Neighbor> probes,
                            std::span<TopK> results) const {
  std::vector<std::vector<std::int32_t>> queries(static_cast<std::size_t>(groups_.coarse.rows));
  for (std::int64_t i = 0; i < probes.rows; ++i)
    for (std::int64_t p = 0; p < probes.cols; ++p)
      if (const std::int64_t group = probes(i, p).id; group >= 0)
        queries[static_cast<std::size_t>(group)].push_back(static_cast<std::int32_t>(i));
  std::vector<CodedList> lists;
  for (std::size_t g = 0; g < queries.size(); ++g) {
    const ConstMatrixView<float> rows = members(groups_, static_cast<std::int64_t>(g));
    if (!queries[g].empty() && rows.rows > 0)
      lists.push_back({&codes_, first_code_groups_[g], VectorRows(rows),
                       VectorIds(groups_.starts[g]), queries[g]});
  }
  scan_coded(space_, vectors, lists, results);
}

}  // namespace tutti
