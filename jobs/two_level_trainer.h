// k-means with very many lists: of groups first, then within each group.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/centroid_trainer.h"
#include "jobs/job.h"
#include "jobs/kept_ranges.h"
#include "jobs/row_sample.h"
#include "jobs/sample_group.h"
#include "jobs/trained_centroids.h"
#include "jobs/vector_reader.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/top_k.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"

namespace tutti {

// The sample of CentroidTrainer is shared out to groups, whose centroids that trainer finds, and
// the lists to the groups by their sizes. Ranks own contiguous ranges of groups; a group's
// vectors are brought to its owner, in order of the sample, and clustered there. Some iterations
// over all of the sample follow, in which a vector may go to a list of another group nearby. So
// nothing depends on the number of ranks, nor on memory_bytes: groups that do not fit it wait for
// another round, in which the sample is read again. Checkpoints of the groups' centroids, finished
// stages and finished groups are kept through kills.
class TwoLevelTrainer {
 public:
  // As CentroidTrainer. All outlive it.
  TwoLevelTrainer(JobContext& context, const VectorReader& vectors, const KmeansOptions& options,
                  nlohmann::json identity);

  // Goes on where earlier starts were. Collective; throws Error on all ranks. Returns
  // ExitCode::stopped where the job is to stop; what is done is then durable.
  ExitCode run();

  // After run().
  TrainedCentroids& result() { return result_; }

 private:
  struct Arrivals;
  std::int64_t restore(std::int64_t stages);
  std::string key() const;
  std::filesystem::path folder_of(std::int64_t stage) const;
  ExitCode train_groups();
  ExitCode assign_sample();
  void note(Range chunk, std::span<const std::int64_t> rows, const VectorBatch& batch,
            std::span<const Neighbor> nearest);
  std::int64_t group_of(std::int64_t place) const;
  void share_out();
  void find_finished();
  void plan_rounds();
  Arrivals gather(std::int64_t round);
  ByteLists pack(Range chunk, std::int64_t round) const;
  void place(std::span<const std::byte> message, Arrivals& arrivals) const;
  ExitCode work_on(const Arrivals& arrivals);
  void work_for(double seconds, const Arrivals& arrivals, std::size_t& next);
  std::string finish_group(std::size_t index, const Arrivals& arrivals) const;
  double cluster(std::int64_t group, const SampleGroup& sample, MatrixView<float> centroids) const;
  double refine(std::int64_t group, const SampleGroup& sample, MatrixView<float> centroids) const;
  void collect();
  std::vector<Range> my_chunks() const;
  std::size_t bytes_of(std::int64_t group) const;  // of its result

  JobContext& context_;
  Comm& comm_;
  const VectorReader& vectors_;
  const KmeansOptions& options_;
  nlohmann::json identity_;
  std::int64_t nlist_;
  RowSample sample_;
  KmeansOptions coarse_options_;
  Range mine_;  // of the sample
  std::int64_t chunk_rows_ = 0, chunks_ = 0;
  TrainedCentroids result_;
  std::int64_t stage_ = 0;        // 0: each group is clustered; then all are refined
  std::vector<Neighbor> places_;  // of mine_: groups in stage 0, then lists; -1 for a bad vector
  std::vector<std::int64_t> sizes_, shares_;
  std::vector<Range> groups_of_rank_;
  std::vector<std::int32_t> round_of_;  // of a group; -1: it is finished
  std::int64_t rounds_ = 0;
  std::optional<KeptRanges> kept_;
  std::vector<std::string> finished_;  // by this rank's group: its distance sum and centroids
};

}  // namespace tutti
