// Data and helpers that the tests of kernels/vector share.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include <omp.h>

#include "kernels/core/random.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/top_k.h"

namespace tutti::test {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// A matrix of its own, filled with reproducible numbers in [-1, 1).
struct Matrix {
  std::int64_t rows;
  std::int64_t cols;
  std::vector<float> values;

  Matrix(std::int64_t rows_, std::int64_t cols_, std::uint64_t seed) : rows(rows_), cols(cols_) {
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      values.push_back(static_cast<float>(2 * random_uniform(seed, 0, std::uint64_t(i)) - 1));
    }
  }
  MatrixView<float> view() { return {values.data(), rows, cols}; }
  ConstMatrixView<float> view() const { return {values.data(), rows, cols}; }
};

// What the accumulators keep, one query behind the other.
inline std::vector<Neighbor> sorted(const std::vector<TopK>& results) {
  std::vector<Neighbor> all;
  for (const TopK& result : results) {
    std::vector<Neighbor> one(static_cast<std::size_t>(result.k()));
    result.write_sorted(one);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

inline std::vector<TopK> accumulators(std::int64_t queries, std::int64_t k) {
  return std::vector<TopK>(static_cast<std::size_t>(queries), TopK(k));
}

// Accumulators of everything up to `limit`.
inline std::vector<TopK> accumulators_within(std::int64_t queries, float limit) {
  TopK empty(TopK::kAll);
  empty.tighten(limit);
  return std::vector<TopK>(static_cast<std::size_t>(queries), empty);
}

// What each keeps, without padding.
inline std::vector<std::vector<Neighbor>> lists(const std::vector<TopK>& results) {
  std::vector<std::vector<Neighbor>> all;
  for (const TopK& result : results) all.push_back(result.sorted());
  return all;
}

// Sets the number of threads for a scope.
class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace tutti::test
