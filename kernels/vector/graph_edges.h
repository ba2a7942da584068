// Which of the vectors near a vertex are its neighbours in a graph.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector/code_rows.h"
#include "kernels/vector/graph_search.h"

namespace tutti {

// Keeps, of candidates in order of their keys, those that are not much nearer to one kept before
// than to the vertex itself: from there a search comes to them. One thread's.
class EdgeChoice {
 public:
  // `slack` scales squared distances between candidates: at 1 a candidate is left out where one
  // kept is nearer to it than the vertex, at more only where it is nearer by so much.
  EdgeChoice(const CodeRows& codes, float slack) : codes_(codes), slack_(slack) {}

  // `candidates`: ascending by (key, vertex), each once, keys those of CodeRows. At most `degree`
  // are kept; valid until the next call.
  std::span<const std::int32_t> choose(std::span<const FoundVertex> candidates,
                                       std::int64_t degree);

 private:
  const CodeRows& codes_;
  float slack_;
  std::vector<std::int32_t> kept_;
  std::vector<float> keys_;
};

}  // namespace tutti
