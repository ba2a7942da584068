// What the evaluation of a search measures: recall and speed, setting by setting.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tutti {

// Recall@r of a query is the share of its r true neighbours that are, by id, among the first r
// found; recall@r of many is that of their true neighbours all together. An id that is as far away
// as a true neighbour, but is another one, does not count.
class RecallCount {
 public:
  explicit RecallCount(std::vector<std::int64_t> cutoffs);  // the r's

  // A query's ids, nearest first; -1 is none.
  void add(std::span<const std::int64_t> found, std::span<const std::int64_t> truth);
  // One a cutoff; 1 where there are no true neighbours.
  std::vector<double> recalls() const;

 private:
  std::vector<std::int64_t> cutoffs_, right_, all_;
};

struct CurvePoint {
  std::int64_t setting = 0;
  std::vector<double> recalls;  // one a cutoff of the curve
  double queries_per_second = 0;
  double batch_seconds_p50 = 0, batch_seconds_p99 = 0;
};

struct RecallCurve {
  std::vector<std::int64_t> cutoffs;
  std::vector<CurvePoint> points;  // ascending in their setting
  const char* setting = "nprobe";  // what it is called
};

// 1, 10 and 100 as far as `k` reaches, and `k`.
std::vector<std::int64_t> recall_cutoffs(std::int64_t k);

// The settings to measure, ascending, each once: `given`, or else 1, 2, 4, ... and nlist; `own`,
// too. More than nlist is nlist.
std::vector<std::int64_t> nprobe_sweep(std::span<const std::int64_t> given, std::int64_t own,
                                       std::int64_t nlist);
// The same for the breadths of a graph's walks: `given`, or else 16, 32, ... 512; `own`, too.
std::vector<std::int64_t> breadth_sweep(std::span<const std::int64_t> given, std::int64_t own);

// The smallest value that at least `share` of the values (there is one) do not exceed.
double percentile(std::vector<double> values, double share);

// A line of names, then a line a point.
std::string curve_csv(const RecallCurve& curve);

// A point's figures: its setting, recall_at_1 and so on.
nlohmann::json figures_of(const RecallCurve& curve, const CurvePoint& point);

}  // namespace tutti
