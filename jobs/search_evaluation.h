// search.evaluate: what a search is worth, against the true neighbours, at several settings.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/index_folder.h"
#include "jobs/index_searcher.h"
#include "jobs/job.h"
#include "jobs/recall_curve.h"
#include "runtime/base/config.h"
#include "runtime/data/ground_truth.h"

namespace tutti {

struct EvaluationConfig {
  bool wanted = false;
  std::string truth;
  std::vector<std::int64_t> nprobe, breadth;

  void describe(Schema& schema);
  // Throws Error(usage).
  void check() const;
  // The true neighbours where a file of them is named. Local; throws Error(data), also where they
  // are of another number of queries.
  std::optional<GroundTruth> open_truth(std::int64_t queries) const;
};

// The search that is evaluated.
struct EvaluatedSearch {
  std::int64_t queries = 0, k = 0, nprobe = 0;
  bool probing = true;    // or exact, and then nprobe is only one of the settings to measure
  bool by_graph = false;  // and nprobe is the breadth of its walks
};

// Times probing at each setting, batch by batch, counts recall, and writes curve.csv and curve.svg.
// These are records of the run: they are in no manifest, and differ from run to run. All functions
// are collective and throw Error on all ranks; index and searcher must outlive the evaluation.
class SearchEvaluation {
 public:
  // Opens the truth where it is a file.
  SearchEvaluation(JobContext& context, const EvaluationConfig& config, const IndexFolder& index,
                   IndexSearcher& searcher, const EvaluatedSearch& search);

  // Whether measure() wants the exact neighbours: there is no file of them.
  bool needs_exact() const { return config_.truth.empty(); }

  // The next batch of queries; `exact` is what IndexSearcher::exact found, where it is needed.
  // Error(data) where the truth names ids that the index has not.
  void measure(Range range, ConstMatrixView<float> queries, std::span<const Neighbor> exact);

  // Writes the curve's files and adds the figures to the result.
  void finish();

 private:
  // Of one nprobe, or breadth.
  struct Setting {
    std::int64_t value;
    RecallCount recall;
    std::vector<double> batch_seconds;
  };

  std::vector<std::int64_t> truth_of(Range range, std::span<const Neighbor> exact) const;
  // Searches, and notes how long it took.
  std::vector<Neighbor> timed_probe(Setting& setting, ConstMatrixView<float> queries);
  void count(Setting& setting, std::span<const Neighbor> found,
             std::span<const std::int64_t> truth);
  RecallCurve curve() const;
  double disk_bytes_per_vector() const;
  void local_write(const RecallCurve& curve) const;

  JobContext& context_;
  Comm& comm_;
  const EvaluationConfig& config_;
  const IndexFolder& index_;
  IndexSearcher& searcher_;
  const EvaluatedSearch search_;
  std::optional<GroundTruth> truth_;  // the root's
  std::int64_t truth_k_ = 0, largest_id_ = 0;
  std::vector<std::int64_t> cutoffs_;
  std::vector<Setting> settings_;
};

}  // namespace tutti
