#include "kernels/vector/kmeans.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/vector/distance.h"

namespace tutti {
namespace {

constexpr float kSplit = 1.0f / 1024;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

// The vectors of each list, in ascending order: those of list c are members[starts[c]] up to
// members[starts[c + 1]].
struct Grouping {
  std::vector<std::int64_t> starts;
  std::vector<std::int64_t> members;
};

Grouping group_by_list(std::span<const Neighbor> nearest, std::int64_t lists) {
  Grouping grouping{std::vector<std::int64_t>(static_cast<std::size_t>(lists) + 1),
                    std::vector<std::int64_t>(nearest.size())};
  for (const Neighbor& n : nearest) ++grouping.starts[static_cast<std::size_t>(n.id) + 1];
  for (std::size_t c = 1; c < grouping.starts.size(); ++c) {
    grouping.starts[c] += grouping.starts[c - 1];
  }
  std::vector<std::int64_t> next(grouping.starts.begin(), grouping.starts.end() - 1);
  for (std::size_t i = 0; i < nearest.size(); ++i) {
    const std::int64_t place = next[static_cast<std::size_t>(nearest[i].id)]++;
    grouping.members[static_cast<std::size_t>(place)] = static_cast<std::int64_t>(i);
  }
  return grouping;
}

template <class T>
void add_row(const float* __restrict row, std::int64_t dim, T* __restrict sum) {
  for (std::int64_t j = 0; j < dim; ++j) sum[j] += row[j];
}

// Makes two lists of the largest one, the other in place of `given`. False where it cannot be
// split.
bool split_largest(std::int64_t given, std::vector<std::int64_t>& counts,
                   MatrixView<float> centroids) {
  const auto largest = std::max_element(counts.begin(), counts.end());
  if (*largest < 2) return false;
  const std::int64_t half = *largest / 2;
  float* from = centroids.row(largest - counts.begin());
  float* to = centroids.row(given);
  for (std::int64_t j = 0; j < centroids.cols; ++j) {
    const float step = j % 2 == 0 ? kSplit : -kSplit;
    to[j] = from[j] * (1 + step);
    from[j] = from[j] * (1 - step);
  }
  *largest -= half;
  counts[static_cast<std::size_t>(given)] = half;
  return true;
}

// Gives up the smallest lists for the largest ones.
std::int64_t split_large(double balance, std::vector<std::int64_t>& counts,
                         MatrixView<float> centroids) {
  const double mean = static_cast<double>(std::reduce(counts.begin(), counts.end())) /
                      static_cast<double>(counts.size());
  std::vector<std::int64_t> smallest(counts.size());
  std::iota(smallest.begin(), smallest.end(), 0);
  const auto count_of = [&](std::int64_t c) { return counts[static_cast<std::size_t>(c)]; };
  std::ranges::stable_sort(smallest, {}, count_of);
  std::int64_t split = 0;
  for (const std::int64_t given : smallest) {
    const auto most = static_cast<double>(std::ranges::max(counts));
    if (most <= balance * mean || balance * static_cast<double>(count_of(given)) >= mean) break;
    if (!split_largest(given, counts, centroids)) break;
    ++split;
  }
  return split;
}

}  // namespace

template <class T>
void kmeans_accumulate(const VectorRows& vectors, std::span<const Neighbor> nearest,
                       MatrixView<T> sums, std::span<std::int64_t> counts) {
  check_rows(vectors, "kmeans_accumulate");
  require(static_cast<std::int64_t>(nearest.size()) == vectors.count,
          "kmeans_accumulate: there must be one assignment per vector");
  require(sums.cols == vectors.dim && sums.stride >= sums.cols,
          "kmeans_accumulate: vectors and sums differ in dimension");
  require(static_cast<std::int64_t>(counts.size()) == sums.rows,
          "kmeans_accumulate: there must be one count per list");
  const bool inside = std::all_of(nearest.begin(), nearest.end(),
                                  [&](const Neighbor& n) { return n.id >= 0 && n.id < sums.rows; });
  require(inside, "kmeans_accumulate: a vector is assigned to no list");
  const Grouping grouping = group_by_list(nearest, sums.rows);
  parallel_for_dynamic(sums.rows, [&](std::int64_t list) {
    const auto c = static_cast<std::size_t>(list);
    const std::int64_t begin = grouping.starts[c];
    const std::int64_t end = grouping.starts[c + 1];
    std::vector<float> row(static_cast<std::size_t>(vectors.dim));
    for (std::int64_t m = begin; m < end; ++m) {
      copy_row(vectors, grouping.members[static_cast<std::size_t>(m)], row.data());
      add_row(row.data(), vectors.dim, sums.row(list));
    }
    counts[c] += end - begin;
  });
}

template <class T>
ListRepairs kmeans_update(MatrixView<const T> sums, std::span<const std::int64_t> counts,
                          bool spherical, MatrixView<float> centroids, double balance) {
  require(sums.rows == centroids.rows && sums.cols == centroids.cols,
          "kmeans_update: sums and centroids differ in shape");
  require(static_cast<std::int64_t>(counts.size()) == sums.rows,
          "kmeans_update: there must be one count per list");
  std::vector<std::int64_t> sizes(counts.begin(), counts.end());
  require(std::all_of(sizes.begin(), sizes.end(), [](std::int64_t n) { return n >= 0; }),
          "kmeans_update: a count is negative");
  require(balance == 0 || balance >= 1, "kmeans_update: lists cannot be that balanced");
  for (std::int64_t c = 0; c < sums.rows; ++c) {
    const auto count = static_cast<T>(counts[static_cast<std::size_t>(c)]);
    if (count == 0) continue;
    for (std::int64_t j = 0; j < sums.cols; ++j) {
      centroids(c, j) = static_cast<float>(sums(c, j) / count);
    }
  }
  ListRepairs repaired;
  for (std::int64_t c = 0; c < sums.rows; ++c) {
    const bool empty = sizes[static_cast<std::size_t>(c)] == 0;
    if (empty && split_largest(c, sizes, centroids)) ++repaired.empty;
  }
  if (balance > 0) repaired.small = split_large(balance, sizes, centroids);
  if (spherical) normalise(centroids);
  return repaired;
}

template void kmeans_accumulate(const VectorRows&, std::span<const Neighbor>, MatrixView<float>,
                                std::span<std::int64_t>);
template void kmeans_accumulate(const VectorRows&, std::span<const Neighbor>, MatrixView<double>,
                                std::span<std::int64_t>);
template ListRepairs kmeans_update(MatrixView<const float>, std::span<const std::int64_t>, bool,
                                   MatrixView<float>, double);
template ListRepairs kmeans_update(MatrixView<const double>, std::span<const std::int64_t>, bool,
                                   MatrixView<float>, double);

}  // namespace tutti
