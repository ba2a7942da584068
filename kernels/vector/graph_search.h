// Best-first search of a graph of near vectors.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/prefetch.h"
#include "kernels/vector/code_rows.h"

namespace tutti {

// A directed graph whose vertices are the rows of a set of vectors: row v of `edges` names the
// neighbours of v, and -1 behind them. Somebody else owns it.
struct GraphView {
  const std::int32_t* edges = nullptr;
  std::int64_t vertices = 0, degree = 0;

  const std::int32_t* of(std::int64_t vertex) const { return edges + vertex * degree; }
};

// A vertex that a search has come by.
struct FoundVertex {
  float key = 0;
  std::int32_t vertex = -1;
};

// Walks from some vertices to the neighbours of the nearest that it knows and has not been at, as
// long as one of the `breadth` nearest is such. What it finds follows from the graph, the keys and
// these vertices alone. One thread's; keeps its memory from search to search.
class GraphSearch {
 public:
  explicit GraphSearch(const GraphView& graph);

  // Which vertices may be found, where not all: bit v % 64 of word v / 64 is v's. Searches pass by
  // way of the others all the same. Empty: all. The span must outlive the searches.
  void only(std::span<const std::uint64_t> wanted) { wanted_ = wanted; }

  // The nearest that it came by, at most `breadth`, nearest first, of equals the least vertex.
  // measure(vertices, count, keys) tells how far vertices are, prefetch(vertex) that it will soon
  // be asked for; keys are no NaN. Valid until the next search.
  template <class Measure, class Prefetch>
  std::span<const FoundVertex> search(std::span<const std::int32_t> starts, std::int64_t breadth,
                                      Measure&& measure, Prefetch&& prefetch);

  // Vertices measured by the last search.
  std::int64_t measured() const { return static_cast<std::int64_t>(seen_.size()); }

 private:
  // One that may be gone on from. As an integer, in order of (key, vertex): the key's bits, ordered
  // as keys are, the vertex, and whether the search has been there.
  using Item = std::uint64_t;
  static constexpr Item kBeenThere = 1;
  static Item item(float key, std::int32_t vertex) {
    const auto bits = std::bit_cast<std::uint32_t>(key + 0.0f);  // no -0
    const std::uint32_t ordered = bits >> 31 ? ~bits : bits | std::uint32_t{1} << 31;
    return Item{ordered} << 32 | Item{static_cast<std::uint32_t>(vertex)} << 1;
  }
  static std::int32_t vertex_of(Item item) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(item) >> 1);
  }
  static float key_of(Item item) {
    const auto ordered = static_cast<std::uint32_t>(item >> 32);
    return std::bit_cast<float>(ordered >> 31 ? ordered ^ std::uint32_t{1} << 31 : ~ordered);
  }

  bool see(std::int32_t vertex);
  bool is_wanted(std::int32_t vertex) const {
    const auto v = static_cast<std::uint32_t>(vertex);
    return wanted_.empty() || (wanted_[v / 64] >> (v % 64) & 1);
  }
  void begin(std::int64_t breadth);
  std::size_t take(Item item);
  std::span<const FoundVertex> result();

  GraphView graph_;
  std::span<const std::uint64_t> wanted_;
  std::vector<std::uint64_t> seen_bits_;  // of all vertices
  std::vector<std::int32_t> seen_, open_;
  std::vector<float> keys_;
  std::vector<Item> pool_;  // ascending
  std::int64_t breadth_ = 0, wanted_in_pool_ = 0;
  std::vector<FoundVertex> found_;
};

// Marks the vertex as seen; returns whether it was not.
inline bool GraphSearch::see(std::int32_t vertex) {
  const auto v = static_cast<std::uint32_t>(vertex);
  std::uint64_t& word = seen_bits_[v / 64];
  const std::uint64_t bit = std::uint64_t{1} << (v % 64);
  if (word & bit) return false;
  word |= bit;
  seen_.push_back(vertex);
  return true;
}

template <class Measure, class Prefetch>
std::span<const FoundVertex> GraphSearch::search(std::span<const std::int32_t> starts,
                                                 std::int64_t breadth, Measure&& measure,
                                                 Prefetch&& prefetch) {
  begin(breadth);
  const auto visit = [&](std::span<const std::int32_t> vertices) {
    open_.clear();
    for (const std::int32_t v : vertices) {
      if (v < 0) break;
      if (!see(v)) continue;
      prefetch(v);
      open_.push_back(v);
    }
    if (keys_.size() < open_.size()) keys_.resize(open_.size());
    measure(open_.data(), static_cast<std::int64_t>(open_.size()), keys_.data());
    std::size_t nearest = pool_.size();
    for (std::size_t i = 0; i < open_.size(); ++i)
      nearest = std::min(nearest, take(item(keys_[i], open_[i])));
    return nearest;
  };
  visit(starts);
  for (std::size_t next = 0; next < pool_.size();) {
    if (pool_[next] & kBeenThere) {
      ++next;
      continue;
    }
    pool_[next] |= kBeenThere;
    const std::size_t nearest =
        visit({graph_.of(vertex_of(pool_[next])), static_cast<std::size_t>(graph_.degree)});
    next = std::min(nearest, next + 1);
    if (next < pool_.size()) tutti::prefetch(graph_.of(vertex_of(pool_[next])), 1);
  }
  return result();
}

}  // namespace tutti
