#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/code_tile.h"
#include "kernels/vector/pair_distances.h"
#include "kernels/vector/select_largest.h"

namespace tutti {
namespace {

constexpr std::int64_t kChunk = 64;  // queries that a thread takes at a time

std::vector<std::int8_t> codes_of(const CodeSpace& space, ConstMatrixView<float> rows) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(rows.rows * space.code_dim()));
  space.encode_vectors(rows, {codes.data(), rows.rows, space.code_dim()});
  return codes;
}

// The distances of the guesses as bounds of the accumulators.
void measure_guesses(const CodedQueries& vectors, const VectorRows& centroids, Metric metric,
                     std::span<const Neighbor> guesses, std::span<TopK> results) {
  constexpr std::int64_t kPairs = PairDistances::kPairs;
  const auto count = static_cast<std::int64_t>(guesses.size());
  parallel_for((count + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    PairDistances distances(metric, vectors.vectors.cols);
    const VectorRows* sets[kPairs];
    std::fill_n(sets, kPairs, &centroids);
    const std::int64_t end = std::min(count, (chunk + 1) * kChunk);
    for (std::int64_t at = chunk * kChunk; at < end; at += kPairs) {
      const float* queries[kPairs];
      std::int64_t rows[kPairs];
      float found[kPairs];
      const int pairs = static_cast<int>(std::min(kPairs, end - at));
      for (int p = 0; p < pairs; ++p) {
        queries[p] = vectors.vectors.row(at + p);
        rows[p] = std::max<std::int64_t>(0, guesses[std::size_t(at + p)].id);
      }
      distances.measure(queries, sets, rows, pairs, found);
      for (int p = 0; p < pairs; ++p)
        if (guesses[std::size_t(at + p)].id >= 0 && found[p] == found[p])
          results[std::size_t(at + p)].reset(found[p]);
    }
  });
}

}  // namespace

CodedCentroids::CodedCentroids(const CodeSpace& space, ConstMatrixView<float> centroids)
    : space_(space), centroids_(centroids) {
  const std::vector<std::int8_t> codes = codes_of(space, centroids);
  const ConstMatrixView<std::int8_t> rows(codes.data(), centroids.rows, space.code_dim());
  codes_ = CodedVectors(rows, space);
  packed_.pack(VectorRows(centroids));
}

void CodedCentroids::make_guesses(const CodedQueries& vectors, std::span<Neighbor> nearest) const {
  const auto has_none = [](const Neighbor& n) { return n.id < 0; };
  if (centroids_.rows == 0 || std::ranges::none_of(nearest, has_none)) return;
  std::vector<std::int32_t> guesses(nearest.size());
  find_by_codes(*vectors.codes, {guesses.data(), vectors.vectors.rows, 1}, 1, {});
  for (std::size_t i = 0; i < nearest.size(); ++i)
    if (has_none(nearest[i])) nearest[i].id = guesses[i];
}

void CodedCentroids::assign_nearest(const CodedQueries& vectors,
                                    std::span<Neighbor> nearest) const {
  if (static_cast<std::int64_t>(nearest.size()) != vectors.vectors.rows)
    throw std::invalid_argument("assign: the output must have one row per vector");
  if (std::ranges::any_of(nearest, [&](const Neighbor& n) { return n.id >= centroids_.rows; }))
    throw std::invalid_argument("assign: a guess names no centroid");
  make_guesses(vectors, nearest);
  std::vector<TopK> results(nearest.size(), TopK(1));
  measure_guesses(vectors, centroids_, space_.axes().metric, nearest, results);
  std::vector<std::int32_t> all(nearest.size());
  std::iota(all.begin(), all.end(), 0);
  const CodedList list{&codes_, 0, centroids_, VectorIds(), all};
  scan_coded(space_, vectors, {&list, 1}, results);
  for (std::size_t i = 0; i < nearest.size(); ++i) results[i].write_sorted({&nearest[i], 1});
}

namespace {

// The nearest by the prefix of the codes, of a few queries at a time. One thread's.
class ProbeFinder {
 public:
  ProbeFinder(const CodedVectors& centroids, std::int64_t count, std::int64_t ordered)
      : centroids_(centroids),
        count_(count),
        ordered_(ordered),
        stride_(centroids.groups() * CodedVectors::kLanes),
        products_(kCodeTileQueries * stride_) {}

  // Rows [first, first + present) of queries, probes and, unless it is empty, near; at most
  // kCodeTileQueries.
  void find(const QueryCodes& queries, std::int64_t first, std::int64_t present,
            MatrixView<std::int32_t> probes, std::span<ProbeDistances> near) {
    multiply(queries, first, present);
    for (std::int64_t i = 0; i < present; ++i) {
      const std::span products(products_.data() + i * stride_, std::size_t(count_));
      std::int32_t* row = probes.row(first + i);
      std::ranges::copy(largest_.select(products, std::size_t(probes.cols)), row);
      put_nearest_first(products, {row, std::size_t(probes.cols)});
      if (!near.empty())
        near[static_cast<std::size_t>(first + i)] =
            distances_of(queries.queries[static_cast<std::size_t>(first + i)], products,
                         {row, std::size_t(probes.cols)});
    }
  }

 private:
  // |q|^2 + |c|^2 - 2 q.c, from what a tile makes of them.
  ProbeDistances distances_of(const QueryCodes::Query& query,
                              std::span<const std::int32_t> products,
                              std::span<const std::int32_t> probes) const {
    const double none = double(kPass) + 128.0 * query.prefix_sum;  // codes of vectors are unsigned
    const auto mean = [&](std::size_t count) {
      std::int64_t sum = 0;  // exact, and not in one long chain of additions
      for (const std::int32_t probe : probes.first(std::min(count, probes.size())))
        sum += products[static_cast<std::size_t>(probe)];
      const double product = double(sum) / double(std::min(count, probes.size())) - none;
      return static_cast<float>(std::max(0.0, query.prefix_square - 2 * product));
    };
    return {mean(1), mean(static_cast<std::size_t>(ordered_)), mean(probes.size())};
  }

  void put_nearest_first(std::span<const std::int32_t> products,
                         std::span<std::int32_t> probes) const {
    const auto nearer = [&](std::int32_t a, std::int32_t b) {
      const std::int32_t x = products[std::size_t(a)], y = products[std::size_t(b)];
      return x != y ? x > y : a < b;
    };
    const auto first = std::min(probes.size(), static_cast<std::size_t>(ordered_));
    std::ranges::partial_sort(probes, probes.begin() + std::ptrdiff_t(first), nearer);
  }

  // products_[i][c] is query i's product with centroid c less half the centroid's square.
  void multiply(const QueryCodes& queries, std::int64_t first, std::int64_t present) {
    const std::int8_t* prefixes[kCodeTileQueries];
    for (std::int64_t i = 0; i < kCodeTileQueries; ++i)
      prefixes[i] = queries.prefix(first + std::min(i, present - 1));
    std::int32_t starts[kCodeTileQueries];
    std::fill_n(starts, kCodeTileQueries, kPass);
    std::uint64_t marks[kCodeTileQueries];
    for (std::int64_t group = 0; group < centroids_.groups(); group += kCodeTileGroups) {
      const std::int64_t groups =
          std::min<std::int64_t>(kCodeTileGroups, centroids_.groups() - group);
      kernels_.tile[groups - 1]({centroids_.group(group), prefixes, centroids_.steps(),
                                 centroids_.half_squares(group), starts,
                                 products_.data() + group * CodedVectors::kLanes, stride_, marks});
    }
  }

  // The same for all centroids, so that it changes no order: large enough to have values written.
  static constexpr std::int32_t kPass = CodedVectors::kNever / 2;

  const CodedVectors& centroids_;
  std::int64_t count_, ordered_;
  const CodeKernels& kernels_ = *available_code_kernels().front();
  std::int64_t stride_;
  AlignedBuffer<std::int32_t> products_;  // [kCodeTileQueries][stride]
  LargestValues largest_;
};

}  // namespace

void CodedCentroids::find_probes(const CodedQueries& queries, MatrixView<std::int32_t> probes,
                                 std::int64_t ordered, std::span<ProbeDistances> near) const {
  if (probes.rows != queries.vectors.rows || probes.rows != queries.codes->count() ||
      probes.cols > centroids_.rows || queries.codes->code_dim != space_.code_dim() ||
      (!near.empty() && std::int64_t(near.size()) != probes.rows))
    throw std::invalid_argument("find_probes: the output must have one row per query");
  find_by_codes(*queries.codes, probes, ordered, near);
  std::vector<std::int64_t> loose;
  std::vector<float> vectors;
  for (std::int64_t q = 0; q < probes.rows; ++q) {
    if (queries.codes->queries[static_cast<std::size_t>(q)].radius <= space_.axes().cap) continue;
    loose.push_back(q);
    vectors.insert(vectors.end(), queries.vectors.row(q),
                   queries.vectors.row(q) + queries.vectors.cols);
  }
  const auto count = static_cast<std::int64_t>(loose.size());
  if (count == 0) return;
  std::vector<Neighbor> nearest(loose.size() * static_cast<std::size_t>(probes.cols));
  assign_probes(ConstMatrixView<float>(vectors.data(), count, queries.vectors.cols), packed_,
                space_.axes().metric, {nearest.data(), count, probes.cols});
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t q = loose[static_cast<std::size_t>(i)];
    const auto mine = std::span(nearest).subspan(static_cast<std::size_t>(i * probes.cols),
                                                 static_cast<std::size_t>(probes.cols));
    std::ranges::transform(mine, probes.row(q),
                           [](const Neighbor& n) { return static_cast<std::int32_t>(n.id); });
    if (!near.empty())
      near[static_cast<std::size_t>(q)] =
          distances_of(queries.codes->queries[static_cast<std::size_t>(q)], mine, ordered);
  }
}

// In steps of the space, as codes would have them.
ProbeDistances CodedCentroids::distances_of(const QueryCodes::Query& query,
                                            std::span<const Neighbor> probes,
                                            std::int64_t ordered) const {
  const auto mean = [&](std::int64_t count) {
    const auto some = probes.first(std::min(static_cast<std::size_t>(count), probes.size()));
    double sum = 0;
    for (const Neighbor& n : some) {
      const double steps = space_.reach(query.square, n.distance) / double(space_.axes().step);
      sum += steps * steps;
    }
    sum /= double(some.size());
    return sum < std::numeric_limits<float>::infinity() ? static_cast<float>(sum) : 0;
  };
  return {mean(1), mean(ordered), mean(std::ssize(probes))};
}

void CodedCentroids::find_by_codes(const QueryCodes& queries, MatrixView<std::int32_t> probes,
                                   std::int64_t ordered, std::span<ProbeDistances> near) const {
  parallel_for((probes.rows + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    ProbeFinder finder(codes_, centroids_.rows, ordered);
    const std::int64_t end = std::min(probes.rows, (chunk + 1) * kChunk);
    for (std::int64_t first = chunk * kChunk; first < end; first += kCodeTileQueries)
      finder.find(queries, first, std::min<std::int64_t>(kCodeTileQueries, end - first), probes,
                  near);
  });
}

}  // namespace tutti
