// What a search has found, and what it should have.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "kernels/vector/distance.h"
#include "kernels/vector/top_k.h"
#include "runtime/io/hdf5_import.h"

namespace tutti::testing {

struct Found {
  std::int64_t k = 0;
  std::vector<std::int64_t> ids;
  std::vector<float> distances;
};

inline Found read_neighbors(const std::filesystem::path& run) {
  const Hdf5Import file(run / "neighbors.h5");
  const Hdf5Dataset *ids = file.find("neighbors"), *distances = file.find("distances");
  Found found{ids->shape.at(1), {}, {}};
  found.ids.resize(std::size_t(ids->shape[0] * ids->shape[1]));
  found.distances.resize(found.ids.size());
  file.read_rows(*ids, 0, ids->shape[0], std::span(found.ids));
  file.read_rows(*distances, 0, distances->shape[0], std::span(found.distances));
  return found;
}

inline bool every_row(std::int64_t) { return true; }

// The definition: every distance to the rows that pass, sorted. Ids are `step` times the row.
inline Found brute_force(const std::vector<float>& vectors, const std::vector<float>& queries,
                         std::int64_t dim, Metric metric, std::int64_t k, std::int64_t step = 10,
                         const std::function<bool(std::int64_t)>& passes = every_row) {
  Found found{k, {}, {}};
  for (std::size_t q = 0; q < queries.size(); q += std::size_t(dim)) {
    std::vector<Neighbor> all;
    for (std::int64_t row = 0; row < std::int64_t(vectors.size()) / dim; ++row)
      if (passes(row))
        all.push_back(
            {reference::distance(&queries[q], &vectors[std::size_t(row * dim)], dim, metric),
             step * row});
    std::sort(all.begin(), all.end(), precedes);
    all.resize(std::size_t(k));  // what is missing is padding
    for (const Neighbor& n : all) {
      found.ids.push_back(n.id);
      found.distances.push_back(metric == Metric::l2 ? std::sqrt(n.distance) : n.distance);
    }
  }
  return found;
}

}  // namespace tutti::testing
