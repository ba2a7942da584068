// The engine of every scan: one thread, a chunk of queries, a run of packed vectors. Internal to
// kernels/vector.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/vector/scan.h"
#include "kernels/vector/tile.h"
#include "kernels/vector/top_k.h"

namespace tutti {

// Scans with a metric and a k, keeping its scratch memory from one chunk to the next.
//
// l2 is found in two steps wherever few vectors pass: the dot product tile gives |q - v|^2 up to a
// bound on its rounding, which rules almost every vector out at half the cost of the subtracting
// tile, and only those not ruled out are measured. What is kept is therefore exactly what measuring
// every pair would keep.
class ChunkScan {
 public:
  ChunkScan(Metric metric, std::int64_t k) : metric_(metric), k_(k) {}

  // Starts a chunk with the given rows of `queries`, with nothing kept but the bounds, one a query,
  // beyond which no candidate is wanted.
  void begin(const VectorRows& queries, std::span<const std::int64_t> rows,
             std::span<const float> bounds);

  // Takes vectors [first_group * 16, ...) of `groups` groups into account; `ids` is of all of
  // `vectors`.
  void scan(const PackedVectors& vectors, std::int64_t first_group, std::int64_t groups,
            const VectorIds& ids);

  // What the chunk's query `index` has kept.
  const TopK& result(std::int64_t index) const { return kept_[static_cast<std::size_t>(index)]; }

 private:
  // One pair that the dot product did not rule out.
  struct Pair {
    std::int64_t query;
    std::int64_t id;
    const float* vector;
  };

  const float* query_block(std::int64_t block) const;
  void pack_queries(const VectorRows& queries, std::span<const std::int64_t> rows);
  void update_limit(std::int64_t query);
  void scan_tile(const PackedVectors& vectors, std::int64_t group, int groups, std::int64_t block,
                 const VectorIds& ids);
  void take_marked(const TileTask& task, const PackedVectors& vectors, std::int64_t first_vector,
                   std::int64_t block, bool filtered, const VectorIds& ids);
  void measure_pairs();

  const TileKernels& kernels_ = *available_tile_kernels().front();
  Metric metric_;
  std::int64_t k_;
  std::int64_t dim_ = 0;
  std::int64_t queries_ = 0;
  AlignedBuffer<float> packed_;        // [blocks][dim][kTileQueries]
  std::vector<float> row_;             // one query as floats
  std::vector<double> query_squares_;  // the queries' squared lengths
  std::vector<float> limits_;          // what a candidate's distance may not exceed
  std::vector<float> filter_limits_;   // what bias - q.v may not exceed
  std::vector<char> dense_;            // per block of queries: too many pass for the filter to pay
  std::vector<TopK> kept_;
  AlignedBuffer<float> values_{kTileQueries * kTileVectors};
  std::vector<Pair> pairs_;
};

}  // namespace tutti
