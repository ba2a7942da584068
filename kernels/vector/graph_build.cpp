#include "kernels/vector/graph_build.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/vector/graph_edges.h"
#include "kernels/vector/ranked_scan.h"

namespace tutti {
namespace {

// A candidate is left out where one kept before is nearer to it by this much, in squares: a few
// more edges than without make searches shorter.
constexpr float kSlack = 1.1f;
constexpr std::int64_t kCandidates = 2;  // times the degree

std::vector<std::int64_t> groups_of(std::span<const std::int64_t> begins) {
  std::vector<std::int64_t> groups{0};
  for (std::size_t list = 0; list + 1 < begins.size(); ++list)
    groups.push_back(groups.back() + CodedVectors::groups_of(begins[list + 1] - begins[list]));
  return groups;
}

void check(const CodeSpace& space, const ListedVectors& lists, const GraphShape& shape) {
  const auto require = [](bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
  };
  check_rows(lists.vectors, "GraphBuild: vectors");
  require(lists.vectors.count < std::numeric_limits<std::int32_t>::max(),
          "GraphBuild: too many vectors");
  require(lists.vectors.dim == space.axes().dim && lists.centroids.cols == lists.vectors.dim,
          "GraphBuild: vectors, centroids and codes differ in dimension");
  require(lists.centroids.rows > 0 && std::ssize(lists.begins) == lists.centroids.rows + 1 &&
              lists.begins.front() == 0 && lists.begins.back() == lists.vectors.count &&
              std::ranges::is_sorted(lists.begins),
          "GraphBuild: the lists do not fit the vectors");
  require(shape.degree >= 2 && shape.probes >= 1, "GraphBuild: no such shape");
}

const ListedVectors& checked(const CodeSpace& space, const ListedVectors& lists,
                             const GraphShape& shape) {
  check(space, lists, shape);
  return lists;
}

}  // namespace

GraphBuild::GraphBuild(const CodeSpace& space, const ListedVectors& lists, const GraphShape& shape)
    : space_(space),
      lists_(checked(space, lists, shape)),
      shape_(shape),
      rows_(space, lists.vectors.count),
      groups_(groups_of(lists.begins)),
      codes_(groups_.back(), space),
      centroid_space_(CodeSpace::train(VectorRows(lists.centroids), space.axes().metric, true)),
      centroids_(centroid_space_, lists.centroids) {
  rows_.put(0, lists.vectors);
  const std::int64_t dim = space.code_dim();
  parallel_for_dynamic(lists.centroids.rows, [&](std::int64_t list) {
    const std::int64_t begin = lists.begins[std::size_t(list)],
                       size = lists.begins[std::size_t(list) + 1] - begin;
    std::vector<std::int8_t> codes(static_cast<std::size_t>(size * dim));
    space.encode_vectors(lists.vectors.range(begin, size), {codes.data(), size, dim});
    codes_.put(groups_[std::size_t(list)], {codes.data(), size, dim});
  });
}

std::int64_t GraphBuild::bytes_per_vector(const CodeSpace& space) {
  return CodeRows::bytes_per_row(space) +
         CodedVectors::bytes_per_vector(space.code_dim(), space.prefix());
}

GraphBuild::Probers GraphBuild::probers_of(ConstMatrixView<float> vectors) const {
  const std::int64_t probes = std::min(shape_.probes, lists_.centroids.rows);
  const QueryCodes codes = centroid_space_.encode_queries(VectorRows(vectors));
  std::vector<std::int32_t> nearest(static_cast<std::size_t>(vectors.rows * probes));
  centroids_.find_probes({vectors, &codes}, {nearest.data(), vectors.rows, probes}, 1);
  Probers probers(static_cast<std::size_t>(lists_.centroids.rows));
  for (std::int64_t i = 0; i < vectors.rows * probes; ++i)
    probers[static_cast<std::size_t>(nearest[static_cast<std::size_t>(i)])].push_back(
        static_cast<std::int32_t>(i / probes));
  return probers;
}

void GraphBuild::find_near(std::int64_t first, MatrixView<std::int32_t> edges) const {
  const std::int64_t count = edges.rows, dim = lists_.vectors.dim;
  if (count == 0) return;
  std::vector<float> values(static_cast<std::size_t>(count * dim));
  parallel_for(
      count, [&](std::int64_t i) { copy_row(lists_.vectors, first + i, values.data() + i * dim); });
  const ConstMatrixView<float> vectors(values.data(), count, dim);
  const Probers probers = probers_of(vectors);
  const QueryCodes codes = space_.encode_queries(VectorRows(vectors));
  std::vector<CodedList> lists;
  for (std::size_t list = 0; list < probers.size(); ++list) {
    const std::int64_t begin = lists_.begins[list], size = lists_.begins[list + 1] - begin;
    if (size > 0 && !probers[list].empty())
      lists.push_back(
          {&codes_, groups_[list], lists_.vectors.range(begin, size), begin, probers[list], begin});
  }
  Candidates candidates(count, kCandidates * shape_.degree + 1, {lists_.vectors, 0});
  scan_ranked(space_, {vectors, &codes}, CodeParts::whole, lists, candidates);
  std::vector<std::vector<RankedNeighbor>> found(static_cast<std::size_t>(count));
  candidates.measure(vectors, space_.axes().metric, found);
  parallel_for_dynamic(count, [&](std::int64_t i) {
    std::vector<std::int32_t> near;
    for (const RankedNeighbor& n : found[static_cast<std::size_t>(i)])
      near.push_back(static_cast<std::int32_t>(n.id));
    choose(first + i, near, false, edges.row(i));
  });
}

void GraphBuild::add_incoming(std::int64_t first, const IncomingEdges& incoming,
                              MatrixView<std::int32_t> edges) const {
  parallel_for_dynamic(edges.rows, [&](std::int64_t i) {
    std::vector<std::int32_t> near;
    for (const std::int32_t neighbor : std::span(edges.row(i), std::size_t(edges.cols)))
      if (neighbor >= 0) near.push_back(neighbor);
    const auto row = static_cast<std::size_t>(i);
    const auto others =
        incoming.from.subspan(std::size_t(incoming.starts[row]),
                              std::size_t(incoming.starts[row + 1] - incoming.starts[row]));
    near.insert(near.end(), others.begin(), others.end());
    choose(first + i, near, true, edges.row(i));
  });
}

// `all`: where they are no more than there is room for, all of `near` but the vertex itself.
void GraphBuild::choose(std::int64_t vertex, std::vector<std::int32_t>& near, bool all,
                        std::int32_t* edges) const {
  std::ranges::sort(near);
  near.erase(std::ranges::unique(near).begin(), near.end());
  std::erase(near, static_cast<std::int32_t>(vertex));
  std::vector<float> keys(near.size());
  rows_.measure(rows_.row(vertex), near.data(), std::ssize(near), keys.data());
  std::vector<FoundVertex> candidates;
  for (std::size_t i = 0; i < near.size(); ++i) candidates.push_back({keys[i], near[i]});
  std::ranges::stable_sort(candidates, {}, &FoundVertex::key);
  const std::int64_t room = shape_.degree - 1;
  std::fill_n(edges, shape_.degree, -1);
  if (all && std::ssize(candidates) <= room) {
    for (const FoundVertex& candidate : candidates) *edges++ = candidate.vertex;
    return;
  }
  std::ranges::copy(EdgeChoice(rows_, kSlack).choose(candidates, room), edges);
}

std::int64_t connect_graph(MatrixView<std::int32_t> edges) {
  std::vector<bool> reached(static_cast<std::size_t>(edges.rows));
  std::vector<std::int32_t> open;
  const auto reach = [&](std::int32_t start) {
    if (reached[static_cast<std::size_t>(start)]) return;
    reached[static_cast<std::size_t>(start)] = true;
    for (open.push_back(start); !open.empty();) {
      const std::int32_t* row = edges.row(open.back());
      open.pop_back();
      for (std::int64_t i = 0; i < edges.cols && row[i] >= 0; ++i) {
        if (reached[static_cast<std::size_t>(row[i])]) continue;
        reached[static_cast<std::size_t>(row[i])] = true;
        open.push_back(row[i]);
      }
    }
  };
  if (edges.rows > 0) reach(0);
  std::int64_t added = 0;
  for (std::int64_t v = 1; v < edges.rows; ++v) {
    if (reached[static_cast<std::size_t>(v)]) continue;
    std::int32_t* before = edges.row(v - 1);
    if (before[edges.cols - 1] >= 0)
      throw std::invalid_argument("connect_graph: a row's last place is taken");
    *std::find(before, before + edges.cols, -1) = static_cast<std::int32_t>(v);
    ++added;
    reach(static_cast<std::int32_t>(v));
  }
  return added;
}

}  // namespace tutti
