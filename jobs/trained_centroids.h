// Centroids that are trained, until the index is built that they are for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernels/core/tensor.h"

namespace tutti {

// Of two levels, group g's are [starts[g], starts[g + 1]), around row g of `coarse`; of one level
// there are no groups.
struct TrainedCentroids {
  std::int64_t dim = 0, iterations = 0;
  std::vector<float> values;  // [nlist, dim]
  std::vector<float> coarse = {};
  std::vector<std::int64_t> starts = {};

  std::int64_t groups() const { return std::int64_t(coarse.size()) / dim; }
  ConstMatrixView<float> coarse_view() const { return {coarse.data(), groups(), dim}; }
  std::int64_t nlist() const { return std::int64_t(values.size()) / dim; }
  ConstMatrixView<float> view() const { return {values.data(), nlist(), dim}; }
};

// Keeps them in the folder, durably. `key`: a digest of all that they follow from. Local; throws
// Error(io).
void save_trained_centroids(const std::filesystem::path& folder, const TrainedCentroids& centroids,
                            const std::string& key);

// Those that the folder keeps under the key, if every byte of them is as recorded; otherwise
// nothing. Local.
std::optional<TrainedCentroids> load_trained_centroids(const std::filesystem::path& folder,
                                                       const std::string& key);

}  // namespace tutti
