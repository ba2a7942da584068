// k-means over all ranks: the coarse quantizer of an index, the same bytes on any number of ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/job.h"
#include "jobs/row_sample.h"
#include "jobs/run_checkpoints.h"
#include "jobs/vector_reader.h"
#include "kernels/core/arena.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/top_k.h"
#include "runtime/comm/tree_sum.h"

namespace tutti {

struct KmeansOptions {
  std::int64_t nlist = 0;  // 0: about 4 * sqrt(vectors), as far as there are vectors
  std::int64_t iterations = 10;
  std::int64_t sample = 0;  // vectors to train on, at most; 0: 256 a list
  std::int64_t seed = 1;
  double balance = 2;                                // as kmeans_update has it
  std::int64_t block = 4096;                         // vectors of one leaf of the fixed-order sum
  std::int64_t memory_bytes = 0;                     // what a rank may keep of the sample
  std::int64_t levels = 0;                           // 1, 2, or 0: 2 from kTwoLevels lists on
  CheckpointOptions checkpoint{.every_seconds = 1};  // of long iterations, each is kept

  // What centroids of the vectors follow from: `vectors` and the options.
  nlohmann::json identity(nlohmann::json vectors) const;
  // Lists that are wanted of so many vectors, as far as enough of them are usable.
  std::int64_t lists_for(std::int64_t rows) const;
  // Groups that they are in; 0 where k-means has one level.
  std::int64_t groups_for(std::int64_t rows) const;
  RowSample sample_of(const VectorReader& vectors) const;
  // Throws Error, as agreed, where there are fewer usable vectors in the sample than lists.
  void check_usable(std::int64_t lists, std::int64_t usable) const;
};

inline constexpr std::int64_t kSampleOfList = 256;  // more hardly make better centroids
inline constexpr std::int64_t kTwoLevels = 16384;

// Lloyd's iterations over a sample of the vectors, from a keyed choice of them. Its leaves are
// blocks of the sample; ranks share them out and their sums are added up in the fixed tree. Under
// inner product and cosine the centroids are of unit length and nearest means largest product.
class CentroidTrainer {
 public:
  // Reads the sample once, to count the vectors that are usable. `identity` is what the lists
  // follow from besides the options (the vectors, the metric): a checkpoint is only good for the
  // same. Collective; throws Error on all ranks.
  CentroidTrainer(JobContext& context, const VectorReader& vectors, const KmeansOptions& options,
                  nlohmann::json identity);

  // Resumes from the newest checkpoint and iterates. Collective. Returns ExitCode::stopped where
  // the job is to stop; a checkpoint is then written.
  ExitCode run();

  std::int64_t iterations() const { return iteration_; }
  ConstMatrixView<float> centroids() const { return {centroids_.data(), nlist_, vectors_.dim()}; }

 private:
  std::vector<std::int64_t> rows_of(std::int64_t leaf) const;
  // This rank's leaf, from memory where it is kept.
  const VectorBatch& load(std::int64_t leaf);
  void count_usable();
  void choose_nlist();
  void draw_centroids();
  void restore();
  std::vector<ArraySlice> slices(Range elements);
  Snapshot snapshot();
  void iterate();
  double add_leaf(std::int64_t leaf, const CodedCentroids& centroids);
  void train_space();
  const QueryCodes& codes_of(std::int64_t leaf, const VectorBatch& batch);

  JobContext& context_;
  Comm& comm_;
  const VectorReader& vectors_;
  const KmeansOptions& options_;
  nlohmann::json identity_;
  RowSample sample_;
  std::int64_t leaves_;
  Range mine_;                     // this rank's leaves
  std::vector<VectorBatch> kept_;  // by leaf of mine_; empty where the sample is streamed
  VectorBatch streamed_;           // the leaf last read, where it is not kept
  std::int64_t streamed_leaf_ = -1;
  // Of this rank's vectors, and therefore different from rank to rank: it only makes finding the
  // nearest centroid faster. Made when there are vectors to be assigned.
  std::optional<CodeSpace> space_;
  std::vector<QueryCodes> codes_;  // by leaf of mine_; empty where they are made anew each time
  QueryCodes streamed_codes_;
  std::vector<std::vector<std::int32_t>> lists_;  // by leaf: where its vectors were, to begin with
  std::vector<std::int64_t>
      usable_;  // vectors of all leaves, counted up: leaf l has [usable_[l], usable_[l + 1])
  std::int64_t nlist_ = 0, iteration_ = 0;
  AlignedBuffer<float> centroids_;
  AlignedBuffer<double> sums_;
  std::vector<std::int64_t> counts_;
  std::vector<Neighbor> nearest_;
  TreeSum<double> tree_;
  RunCheckpoints checkpoints_;
};

}  // namespace tutti
