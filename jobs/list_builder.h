// From centroids to inverted lists on disk: every vector, with its metadata, to the owner of its
// list, in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/assigned_rows.h"
#include "jobs/carried_columns.h"
#include "jobs/finished_shards.h"
#include "jobs/job.h"
#include "jobs/trained_centroids.h"
#include "jobs/vector_reader.h"
#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"
#include "kernels/vector/assign.h"
#include "kernels/vector/device_scan.h"
#include "kernels/vector/grouped_centroids.h"
#include "runtime/data/commit.h"
#include "runtime/data/shard_writer.h"

namespace tutti {

// Shard s of `shards` holds lists [result[s].begin, result[s].end): contiguous, as even in entries
// as whole lists allow. A function of the lists' sizes alone.
std::vector<Range> balance_lists(std::span<const std::int64_t> list_sizes, std::int64_t shards);

struct ListOptions {
  // Where the shards go: beside those of an index that exists, or, where it is empty, to the run
  // folder, as a new index.
  std::filesystem::path folder;
  std::int64_t shards = 8, first_shard = 0;  // how many, and the first one's number
  DType storage = DType::f32;                // f32 or bf16
  std::int64_t memory_bytes =
      0;  // a rank's for vectors in transit; a shard that is larger is still taken whole
};

// Writes the shards of an index; their bytes depend neither on the number of
// ranks nor on memory_bytes. Ranks read contiguous ranges of the vectors and own contiguous ranges
// of the shards. Where a rank's shards do not fit its memory, they are filled over several rounds,
// each of which reads the vectors again. What is done is kept in the run folder, and a later start
// there goes on behind it, on any number of ranks; shards of an index that exists are written anew.
class ListBuilder {
 public:
  // `identity`: what the lists follow from besides the centroids and the options. Collective. All
  // outlive it.
  ListBuilder(JobContext& context, const VectorReader& vectors, const CarriedColumns& columns,
              const ListOptions& options, nlohmann::json identity);

  // Finds every vector's list, that of the nearest centroid; where the centroids are in groups, of
  // those of the nearest groups. They outlive it. Collective; returns ExitCode::stopped where the
  // job is to stop.
  ExitCode assign(const TrainedCentroids& centroids);
  // After assign(): makes room for the artefact and writes its shards. Collective; returns
  // ExitCode::stopped where the job is to stop, the shards then being incomplete. `mine` gets this
  // rank's.
  ExitCode write(std::vector<ShardRecord>& mine);
  // Once the artefact exists: removes what only a later start would need. Collective.
  void forget();

  // After assign(): entries of each list, and vectors left out as bad, over all ranks.
  std::span<const std::int64_t> list_sizes() const { return list_sizes_; }
  std::int64_t skipped() const { return skipped_; }
  // Vectors whose list this start has found, over all ranks.
  std::int64_t assigned_now() const { return assigned_now_; }

 private:
  struct Arrivals;
  bool stop_agreed();
  std::vector<Range> my_chunks() const;
  void find_assigned(const TrainedCentroids& centroids);
  bool assign_chunk(Range rows, const TrainedCentroids& centroids);
  void prepare(const VectorBatch& first, const TrainedCentroids& centroids);
  std::vector<Neighbor> nearest_of(const VectorBatch& batch, const TrainedCentroids& centroids);
  void count_lists(std::int64_t nlist);
  void find_finished();
  const std::filesystem::path& folder() const;
  void plan_rounds(const std::vector<bool>& finished);
  std::int64_t shard_entries(std::int64_t shard) const;
  ByteLists pack(Range chunk, std::int64_t round) const;
  void append_entries(const VectorBatch& batch, Range chunk, ByteLists& to_ranks) const;
  ShardWriter open_shard(std::int64_t shard) const;
  ShardRecord write_shard(std::int64_t shard, const Arrivals& arrivals) const;
  void write_list(std::int64_t list, const Arrivals& arrivals, ShardWriter& writer) const;

  JobContext& context_;
  Comm& comm_;
  const VectorReader& vectors_;
  const CarriedColumns& columns_;
  const ListOptions& options_;
  nlohmann::json identity_;
  std::optional<AssignedRows> assigned_;  // of my_rows_
  std::optional<FinishedShards> finished_;
  std::optional<CodeSpace> space_;  // of this rank's first vectors: finds the nearest list faster
  std::optional<CodedCentroids> coded_;
  std::optional<GroupedCentroids> grouped_;  // or else
  std::unique_ptr<DeviceScan> device_;       // or else
  Range my_rows_;
  std::int64_t chunk_rows_ = 0, chunks_ = 0;  // rows of a chunk; chunks of the rank that has most
  std::vector<std::int64_t> list_sizes_,
      first_entries_;  // entries before a list, over all shards; nlist + 1
  std::vector<Range> shard_lists_;
  std::vector<std::int32_t> shard_of_list_, round_of_shard_;  // -1: of a finished shard
  std::int64_t rounds_ = 0, skipped_ = 0, assigned_now_ = 0;
};

}  // namespace tutti
