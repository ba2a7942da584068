// What a search within a radius has found, and what it should have.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "jobs/published_distance.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/top_k.h"
#include "runtime/io/hdf5_import.h"
#include "tests/jobs/found_neighbors.h"

namespace tutti::testing {

struct FoundRanges {
  std::vector<std::int64_t> offsets{0}, ids;
  std::vector<float> distances;

  bool operator==(const FoundRanges&) const = default;
};

template <class T>
std::vector<T> read_column(const std::filesystem::path& path, const std::string& name) {
  const Hdf5Import file(path);
  const Hdf5Dataset* dataset = file.find(name);
  if (!dataset) return {};
  std::int64_t elements = 1;
  for (const std::int64_t extent : dataset->shape) elements *= extent;
  std::vector<T> values(static_cast<std::size_t>(elements));
  if (elements > 0) file.read_rows(*dataset, 0, dataset->shape[0], std::span(values));
  return values;
}

inline FoundRanges read_ranges(const std::filesystem::path& run) {
  const auto file = run / "ranges.h5";
  return {read_column<std::int64_t>(file, "offsets"), read_column<std::int64_t>(file, "neighbors"),
          read_column<float>(file, "distances")};
}

// The definition: every distance to the rows that pass, those within the radius sorted, at most
// `most` of each query. Ids are `step` times the row.
inline FoundRanges ranges_by_force(const std::vector<float>& vectors,
                                   const std::vector<float>& queries, std::int64_t dim,
                                   Metric metric, double radius, std::int64_t step = 10,
                                   const std::function<bool(std::int64_t)>& passes = every_row,
                                   std::size_t most = std::size_t(-1)) {
  FoundRanges found;
  for (std::size_t q = 0; q < queries.size(); q += std::size_t(dim)) {
    std::vector<Neighbor> all;
    for (std::int64_t row = 0; row < std::int64_t(vectors.size()) / dim; ++row) {
      const float d =
          reference::distance(&queries[q], &vectors[std::size_t(row * dim)], dim, metric);
      const float given = published_distance(d, metric);
      const bool within =
          metric == Metric::inner_product ? -given >= float(radius) : given <= float(radius);
      if (within && passes(row)) all.push_back({d, step * row});
    }
    std::sort(all.begin(), all.end(), precedes);
    all.resize(std::min(all.size(), most));
    for (const Neighbor& n : all) {
      found.ids.push_back(n.id);
      found.distances.push_back(published_distance(n.distance, metric));
    }
    found.offsets.push_back(std::int64_t(found.ids.size()));
  }
  return found;
}

}  // namespace tutti::testing
