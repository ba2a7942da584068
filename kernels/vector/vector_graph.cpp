#include "kernels/vector/vector_graph.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/core/one_thread.h"
#include "kernels/core/parallel.h"
#include "kernels/core/prefetch.h"

namespace tutti {
namespace {

constexpr std::int64_t kQueriesAtOnce = 8;  // as many as a tile compares with the centroids

}  // namespace

VectorGraph::VectorGraph(const CodeSpace& space, const GraphView& graph, const CodeRows& codes,
                         const GraphEntries& entries, const PlacedVectors& vectors,
                         std::span<const std::uint64_t> wanted)
    : space_(space),
      graph_(graph),
      codes_(codes),
      entries_(entries),
      vectors_(vectors),
      wanted_(wanted) {
  if (graph.vertices > codes.count() || graph.vertices > vectors.rows.count ||
      vectors.rows.dim != space.axes().dim)
    throw std::invalid_argument("VectorGraph: graph, codes and vectors do not fit");
}

void VectorGraph::search(ConstMatrixView<float> queries, const GraphReach& reach,
                         std::span<TopK> results) {
  if (queries.rows != std::ssize(results) || queries.cols != space_.axes().dim)
    throw std::invalid_argument("VectorGraph: queries and results do not fit");
  if (graph_.vertices == 0) return;
  const int threads = thread_count();
  while (std::ssize(walkers_) < threads)
    walkers_.push_back({GraphSearch(graph_),
                        PairDistances(space_.axes().metric, vectors_.rows.dim),
                        std::vector<std::int8_t>(static_cast<std::size_t>(codes_.row_bytes())),
                        {}});
  // All of a query in one parallel loop: for a few, each loop would take as long as a walk.
  const std::int64_t each = std::clamp<std::int64_t>(queries.rows / threads, 1, kQueriesAtOnce);
  if (queries.rows <= each) {
    const OneThread alone;
    return search_some(queries, reach, results, walkers_[0]);
  }
  parallel_for_dynamic((queries.rows + each - 1) / each, [&](std::int64_t piece) {
    const std::int64_t begin = piece * each, count = std::min(each, queries.rows - begin);
    search_some(queries.row_range(begin, count), reach,
                results.subspan(std::size_t(begin), std::size_t(count)),
                walkers_[static_cast<std::size_t>(threads == 1 ? 0 : thread_index())]);
  });
}

void VectorGraph::search_some(ConstMatrixView<float> queries, const GraphReach& reach,
                              std::span<TopK> results, Walker& walker) const {
  const QueryCodes codes = space_.encode_queries(VectorRows(queries));
  const std::vector<std::int32_t> lists = entries_.find_lists(queries);
  const std::int64_t each = entries_.lists_of_query();
  walker.search.only(wanted_);
  std::vector<std::int32_t> vertices;
  std::vector<float> distances;
  for (std::int64_t query = 0; query < queries.rows; ++query) {
    entries_.gather({lists.data() + query * each, std::size_t(each)}, walker.starts);
    const auto found = walk({queries, &codes}, query, reach.breadth, walker);
    vertices.resize(std::min(found.size(), static_cast<std::size_t>(reach.measured)));
    std::ranges::transform(found.first(vertices.size()), vertices.begin(), &FoundVertex::vertex);
    for (const std::int32_t vertex : vertices) prefetch(vertex);
    distances.resize(vertices.size());
    measure(queries.row(query), vertices.data(), std::ssize(vertices), walker.distances,
            distances.data());
    for (std::size_t i = 0; i < vertices.size(); ++i)
      results[static_cast<std::size_t>(query)].push({distances[i], vectors_.ids[vertices[i]]});
  }
}

std::span<const FoundVertex> VectorGraph::walk(const CodedQueries& queries, std::int64_t query,
                                               std::int64_t breadth, Walker& walker) const {
  if (queries.codes->queries[static_cast<std::size_t>(query)].radius <= space_.axes().cap) {
    codes_.lay_out(*queries.codes, query, walker.code.data());
    return walker.search.search(
        walker.starts, breadth,
        [&](const std::int32_t* vertices, std::int64_t count, float* keys) {
          codes_.measure(walker.code.data(), vertices, count, keys);
        },
        [&](std::int32_t vertex) { codes_.prefetch(vertex); });
  }
  return walker.search.search(
      walker.starts, breadth,
      [&](const std::int32_t* vertices, std::int64_t count, float* keys) {
        measure(queries.vectors.row(query), vertices, count, walker.distances, keys);
      },
      [](std::int32_t) {});
}

void VectorGraph::prefetch(std::int32_t vertex) const {
  const std::int64_t bytes = vectors_.rows.dim * std::int64_t(size_of(vectors_.rows.type));
  const char* at = static_cast<const char*>(vectors_.rows.data) +
                   vertex * vectors_.rows.stride * std::int64_t(size_of(vectors_.rows.type));
  tutti::prefetch(at, bytes);
  vectors_.ids.prefetch(vertex);
}

void VectorGraph::measure(const float* query, const std::int32_t* vertices, std::int64_t count,
                          PairDistances& distances, float* out) const {
  constexpr std::int64_t kPairs = PairDistances::kPairs;
  const float* const repeated[kPairs] = {query, query, query, query, query, query, query, query,
                                         query, query, query, query, query, query, query, query};
  const VectorRows* sets[kPairs];
  std::fill_n(sets, kPairs, &vectors_.rows);
  std::int64_t rows[kPairs];
  for (std::int64_t at = 0; at < count; at += kPairs) {
    const std::int64_t now = std::min(kPairs, count - at);
    std::copy_n(vertices + at, now, rows);
    distances.measure(repeated, sets, rows, static_cast<int>(now), out + at);
  }
}

}  // namespace tutti
