#include "kernels/vector/vector_graph.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/core/parallel.h"

namespace tutti {

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

void VectorGraph::search(const CodedQueries& queries, const GraphReach& reach,
                         std::span<TopK> results) {
  if (queries.vectors.rows != std::ssize(results) ||
      queries.codes->count() != queries.vectors.rows ||
      queries.codes->code_dim != space_.code_dim())
    throw std::invalid_argument("VectorGraph: queries and results do not fit");
  const int threads = thread_count();
  while (std::ssize(walkers_) < threads)
    walkers_.push_back({GraphSearch(graph_),
                        PairDistances(space_.axes().metric, vectors_.rows.dim),
                        std::vector<std::int8_t>(static_cast<std::size_t>(codes_.row_bytes())),
                        {}});
  if (graph_.vertices == 0) return;
  const std::vector<std::int32_t> lists = entries_.find_lists(queries.vectors);
  const std::int64_t each = entries_.lists_of_query();
  parallel_for_dynamic(queries.vectors.rows, [&](std::int64_t query) {
    Walker& walker = walkers_[static_cast<std::size_t>(threads == 1 ? 0 : thread_index())];
    walker.search.only(wanted_);
    entries_.gather({lists.data() + query * each, std::size_t(each)}, walker.starts);
    auto found = walk(queries, query, reach.breadth, walker);
    found = found.first(std::min(found.size(), static_cast<std::size_t>(reach.measured)));
    std::vector<std::int32_t> vertices(found.size());
    std::ranges::transform(found, vertices.begin(), &FoundVertex::vertex);
    for (const std::int32_t vertex : vertices) prefetch(vertex);
    std::vector<float> distances(found.size());
    measure(queries.vectors.row(query), vertices.data(), std::ssize(vertices), walker.distances,
            distances.data());
    for (std::size_t i = 0; i < vertices.size(); ++i)
      results[static_cast<std::size_t>(query)].push({distances[i], vectors_.ids[vertices[i]]});
  });
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
  for (std::int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(at + byte);
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
