#include "kernels/vector/graph_entries.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/vector/disjoint_sets.h"

namespace tutti {
namespace {

constexpr int kFarthest = 2;

// Of each vertex, a number that the vertices of its connected part have in common.
std::vector<std::int32_t> connected_parts(ConstMatrixView<std::int32_t> edges) {
  DisjointSets sets;
  for (std::int64_t v = 0; v < edges.rows; ++v) sets.add();
  for (std::int64_t v = 0; v < edges.rows; ++v)
    for (std::int64_t i = 0; i < edges.cols && edges(v, i) >= 0; ++i) sets.join(v, edges(v, i));
  std::vector<std::int32_t> parts(static_cast<std::size_t>(edges.rows));
  for (std::int64_t v = 0; v < edges.rows; ++v)
    parts[std::size_t(v)] = static_cast<std::int32_t>(sets.find(v));
  return parts;
}

// Those of rows [begin, end), which are a list.
std::vector<std::int32_t> entries_of(const CodeRows& codes, const std::int8_t* centroid,
                                     std::int64_t begin, std::int64_t end,
                                     std::span<const std::int32_t> parts) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(end - begin)), chosen;
  if (rows.empty()) return chosen;
  std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(begin));
  std::vector<float> near(rows.size()), far(rows.size()), next(rows.size());
  codes.measure(centroid, rows.data(), std::ssize(rows), near.data());
  chosen.push_back(rows[std::size_t(std::ranges::min_element(near) - near.begin())]);
  codes.measure(codes.row(chosen[0]), rows.data(), std::ssize(rows), far.data());
  for (int i = 0; i < kFarthest; ++i) {
    const auto farthest = std::ranges::max_element(far);
    if (*farthest == 0) break;
    chosen.push_back(rows[std::size_t(farthest - far.begin())]);
    codes.measure(codes.row(chosen.back()), rows.data(), std::ssize(rows), next.data());
    std::ranges::transform(far, next, far.begin(), [](float a, float b) { return std::min(a, b); });
  }
  std::vector<std::int32_t> present;
  for (const std::int32_t row : chosen) present.push_back(parts[std::size_t(row)]);
  std::ranges::sort(present);
  std::ranges::stable_sort(rows, {},
                           [&](std::int32_t row) { return near[std::size_t(row - begin)]; });
  for (const std::int32_t row : rows) {
    const std::int32_t part = parts[std::size_t(row)];
    const auto at = std::ranges::lower_bound(present, part);
    if (at != present.end() && *at == part) continue;
    present.insert(at, part);
    chosen.push_back(row);
  }
  return chosen;
}

}  // namespace

ListEntries choose_entries(const CodeSpace& space, const CodeRows& codes,
                           std::span<const std::int64_t> begins, ConstMatrixView<float> centroids,
                           ConstMatrixView<std::int32_t> edges) {
  if (std::ssize(begins) != centroids.rows + 1 || begins.front() != 0 ||
      begins.back() != codes.count() || begins.back() != edges.rows ||
      !std::ranges::is_sorted(begins))
    throw std::invalid_argument("choose_entries: lists, codes and graph do not fit");
  const std::vector<std::int32_t> parts = connected_parts(edges);
  const QueryCodes middles = space.encode_queries(VectorRows(centroids));
  std::vector<std::vector<std::int32_t>> chosen(static_cast<std::size_t>(centroids.rows));
  parallel_for_dynamic(centroids.rows, [&](std::int64_t list) {
    const auto l = static_cast<std::size_t>(list);
    std::vector<std::int8_t> middle(static_cast<std::size_t>(codes.row_bytes()));
    codes.lay_out(middles, list, middle.data());
    chosen[l] = entries_of(codes, middle.data(), begins[l], begins[l + 1], parts);
  });
  ListEntries entries;
  for (const auto& its : chosen) {
    entries.vertices.insert(entries.vertices.end(), its.begin(), its.end());
    entries.offsets.push_back(std::ssize(entries.vertices));
  }
  return entries;
}

GraphEntries::GraphEntries(Metric metric, ConstMatrixView<float> centroids,
                           const ListEntries& entries)
    : entries_(entries),
      space_(CodeSpace::train(VectorRows(centroids), metric, true)),
      centroids_(space_, centroids),
      lists_(std::min(kLists, centroids.rows)) {
  if (std::ssize(entries.offsets) != centroids.rows + 1)
    throw std::invalid_argument("GraphEntries: the entries are not those of the lists");
}

std::vector<std::int32_t> GraphEntries::find_lists(ConstMatrixView<float> queries) const {
  const QueryCodes codes = space_.encode_queries(VectorRows(queries));
  std::vector<std::int32_t> nearest(static_cast<std::size_t>(queries.rows * lists_));
  centroids_.find_probes({queries, &codes}, {nearest.data(), queries.rows, lists_}, 1);
  return nearest;
}

void GraphEntries::gather(std::span<const std::int32_t> lists,
                          std::vector<std::int32_t>& starts) const {
  starts.assign(1, 0);
  for (const std::int32_t list : lists) {
    const auto l = static_cast<std::size_t>(list);
    for (std::int64_t i = entries_.offsets[l]; i < entries_.offsets[l + 1]; ++i)
      if (const std::int32_t vertex = entries_.vertices[std::size_t(i)]; vertex > 0)
        starts.push_back(vertex);
  }
}

}  // namespace tutti
