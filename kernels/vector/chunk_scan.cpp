#include "kernels/vector/chunk_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace tutti {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of the pairs in a tile, the most that may pass the filter for it to pay.
constexpr int kSparse = kTileVectors * kTileQueries / 24;

// The constant bias of a metric whose distance is bias - q.v.
const float* constant_bias(Metric metric) {
  alignas(64) static constexpr float kZeros[kTileVectors] = {};
  alignas(64) static constexpr auto kOnes = [] {
    struct {
      float values[kTileVectors];
    } ones{};
    for (float& value : ones.values) value = 1;
    return ones;
  }();
  return metric == Metric::cosine ? kOnes.values : kZeros;
}

// The filter's bound. With u = 2^-24, g = d u / (1 - d u) and all lengths squared, a pair's
// measured distance D and dot product P satisfy
//   D (1 + g) >= |q|^2 + |v|^2 - 2 q.v   and   P >= q.v - g (|q|^2 + |v|^2) / 2,
// so that D <= limit implies
//   |v|^2 (1 - g) / 2 - P <= (limit (1 + g) - |q|^2 (1 - g)) / 2.
// rounding_slack() stands for g with room for the roundings of both sides, and underflow_slack()
// for what underflow adds. The first term is PackedVectors::half_lengths().
float filter_limit(float limit, double query_square, std::int64_t dim) {
  if (!(query_square <= kLargestSquare)) return kInfinity;
  const double slack = rounding_slack(dim);
  const double bound = (limit * (1 + slack) - query_square * (1 - slack)) / 2;
  return std::nextafter(static_cast<float>(bound + underflow_slack(dim)), kInfinity);
}

}  // namespace

const float* ChunkScan::query_block(std::int64_t block) const {
  return packed_.data() + block * dim_ * kTileQueries;
}

void ChunkScan::pack_queries(const VectorRows& queries, std::span<const std::int64_t> rows) {
  const std::int64_t blocks = (queries_ + kTileQueries - 1) / kTileQueries;
  packed_.grow(blocks * dim_ * kTileQueries);
  row_.resize(static_cast<std::size_t>(dim_));
  query_squares_.resize(static_cast<std::size_t>(queries_));
  for (std::int64_t i = 0; i < queries_; ++i) {
    copy_row(queries, rows[static_cast<std::size_t>(i)], row_.data());
    float* out = packed_.data() + i / kTileQueries * dim_ * kTileQueries + i % kTileQueries;
    for (std::int64_t j = 0; j < dim_; ++j) out[j * kTileQueries] = row_[std::size_t(j)];
    if (metric_ == Metric::l2) {
      query_squares_[static_cast<std::size_t>(i)] = squared_length(row_.data(), dim_);
    }
  }
}

void ChunkScan::begin(const VectorRows& queries, std::span<const std::int64_t> rows,
                      std::span<const float> bounds) {
  dim_ = queries.dim;
  queries_ = static_cast<std::int64_t>(rows.size());
  pack_queries(queries, rows);
  const std::size_t blocks = (rows.size() + kTileQueries - 1) / kTileQueries;
  // The places behind the last query are read by its tile, which may be wider.
  limits_.assign(blocks * kTileQueries, -kInfinity);
  filter_limits_.assign(blocks * kTileQueries, -kInfinity);
  dense_.assign(blocks, 0);
  while (kept_.size() < rows.size()) kept_.emplace_back(k_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    kept_[i].reset(bounds[i]);
    update_limit(static_cast<std::int64_t>(i));
    if (bounds[i] == kInfinity) dense_[i / kTileQueries] = 1;
  }
}

void ChunkScan::update_limit(std::int64_t query) {
  const auto i = static_cast<std::size_t>(query);
  const float limit = kept_[i].threshold();
  if (limits_[i] == limit) return;
  limits_[i] = limit;
  if (metric_ == Metric::l2) filter_limits_[i] = filter_limit(limit, query_squares_[i], dim_);
}

void ChunkScan::scan(const PackedVectors& vectors, std::int64_t first_group, std::int64_t groups,
                     const VectorIds& ids) {
  const std::int64_t blocks = (queries_ + kTileQueries - 1) / kTileQueries;
  const std::int64_t end = first_group + groups;
  for (std::int64_t group = first_group; group < end; group += kTileGroups) {
    const int width = static_cast<int>(std::min<std::int64_t>(kTileGroups, end - group));
    for (std::int64_t block = 0; block < blocks; ++block) {
      scan_tile(vectors, group, width, block, ids);
    }
  }
  measure_pairs();
}

void ChunkScan::scan_tile(const PackedVectors& vectors, std::int64_t group, int groups,
                          std::int64_t block, const VectorIds& ids) {
  const std::int64_t first_query = block * kTileQueries;
  const auto present =
      static_cast<unsigned>(std::min<std::int64_t>(kTileQueries, queries_ - first_query));
  const bool l2 = metric_ == Metric::l2;
  const bool filtered = l2 && !dense_[static_cast<std::size_t>(block)];
  const float* limits = (filtered ? filter_limits_ : limits_).data() + first_query;
  const float* bias = l2 ? vectors.half_lengths() + group * kTileLanes : constant_bias(metric_);
  std::uint64_t marks[kTileQueries] = {};
  const TileTask task{
      vectors.group(group), query_block(block), dim_, bias, limits, values_.data(), marks};
  const auto& tiles = l2 && !filtered ? kernels_.l2 : kernels_.bias_minus_dot;
  if (tiles[groups - 1][std::bit_width(present - 1)](task)) {
    take_marked(task, vectors, group * kTileLanes, block, filtered, ids);
  } else {
    dense_[static_cast<std::size_t>(block)] = 0;
  }
}

void ChunkScan::take_marked(const TileTask& task, const PackedVectors& vectors,
                            std::int64_t first_vector, std::int64_t block, bool filtered,
                            const VectorIds& ids) {
  const std::int64_t present = std::min<std::int64_t>(kTileVectors, vectors.count() - first_vector);
  const std::uint64_t real = (std::uint64_t{1} << present) - 1;
  const std::int64_t first_query = block * kTileQueries;
  const std::int64_t last_query = std::min(first_query + kTileQueries, queries_);
  int taken = 0;
  for (std::int64_t query = first_query; query < last_query; ++query) {
    const std::int64_t row = query - first_query;
    std::uint64_t marks = task.marks[row] & real;
    if (marks == 0) continue;
    taken += std::popcount(marks);
    TopK& kept = kept_[static_cast<std::size_t>(query)];
    for (; marks != 0; marks &= marks - 1) {
      const int lane = std::countr_zero(marks);
      const std::int64_t id = ids[first_vector + lane];
      if (filtered) {
        pairs_.push_back(
            {query, id, task.vectors + lane / kTileLanes * kTileLanes * dim_ + lane % kTileLanes});
        if (pairs_.size() == kPairs) measure_pairs();
      } else {
        kept.push({task.values[row * kTileVectors + lane], id});
      }
    }
    if (!filtered) update_limit(query);
  }
  dense_[static_cast<std::size_t>(block)] = taken > kSparse;
}

void ChunkScan::measure_pairs() {
  if (pairs_.empty()) return;
  const float* queries[kPairs];
  const float* vectors[kPairs];
  float distances[kPairs];
  for (std::size_t p = 0; p < kPairs; ++p) {
    const Pair& pair = pairs_[std::min(p, pairs_.size() - 1)];
    queries[p] = query_block(pair.query / kTileQueries) + pair.query % kTileQueries;
    vectors[p] = pair.vector;
  }
  kernels_.l2_pairs(queries, vectors, dim_, distances);
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    kept_[static_cast<std::size_t>(pairs_[p].query)].push({distances[p], pairs_[p].id});
    update_limit(pairs_[p].query);
  }
  pairs_.clear();
}

}  // namespace tutti
