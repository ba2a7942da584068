// The nprobe that a recall takes: measured when an index is built, read when it is searched.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/vector_reader.h"
#include "runtime/base/config.h"

namespace tutti {

struct RecallTarget {
  double recall = 0;  // 0: nothing is measured
  std::int64_t k = 10, queries = 1000;

  void describe(Schema& schema);
  // Throws Error(usage).
  void check() const;
};

struct RecallAtProbes {
  std::int64_t nprobe = 0;
  double recall = 0;
  bool operator==(const RecallAtProbes&) const = default;
};

// `needed`: for each true neighbour of each query, the smallest nprobe that finds it, in any order.
// The recall of every power of two and of the smallest nprobe that reaches each of `levels` or
// everything, ascending, up to that one.
std::vector<RecallAtProbes> recall_curve_of(std::vector<std::int64_t> needed,
                                            std::span<const double> levels);

// What an index's metadata tell of its recall@k (FORMAT.md). The queries are vectors that the
// index was built from, drawn by `seed`; a query's own entry counts neither as found nor as a true
// neighbour. A true neighbour is found by all nprobe that look into its list, so that one exact
// search gives the whole curve, and it is what probing finds. The same on any number of ranks.
// Collective; throws Error on all ranks.
nlohmann::json measure_recall(JobContext& context, const IndexFolder& index,
                              const VectorReader& vectors, const RecallTarget& target,
                              std::uint64_t seed, std::int64_t memory_bytes);

struct ChosenProbes {
  std::int64_t nprobe = 0;
  std::string measured;  // "recall@10 0.9512, measured when the index was built"
};

// The smallest nprobe of the index's curve that reaches the recall, which is at most 1. Local;
// throws Error(usage) where the index has no curve, Error(data) where it is damaged.
ChosenProbes choose_probes(const IndexFolder& index, double recall);

}  // namespace tutti
