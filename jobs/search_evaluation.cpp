#include "jobs/search_evaluation.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include <fmt/format.h>

#include "kernels/core/parallel.h"
#include "runtime/base/log.h"
#include "runtime/data/paths.h"
#include "runtime/data/plot.h"
#include "runtime/io/file.h"
#include "runtime/topology/hardware.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

// A batch that takes little time is searched several times, and the median counts.
constexpr std::size_t kRuns = 5;
constexpr double kEnoughSeconds = 1;

// 1234567 as "1,234,567".
std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (std::ptrdiff_t at = std::ptrdiff_t(text.size()) - 3; at > 0; at -= 3)
    text.insert(std::size_t(at), ",");
  return text;
}

std::vector<std::int64_t> ids_of(std::span<const Neighbor> neighbors) {
  std::vector<std::int64_t> ids(neighbors.size());
  std::ranges::transform(neighbors, ids.begin(), &Neighbor::id);
  return ids;
}

}  // namespace

void EvaluationConfig::describe(Schema& s) {
  s.key("search.evaluate", &wanted,
        "measure recall@1, @10, @100 and @k against the true neighbours, and speed (a batch's time "
        "is the median of up to five), at several nprobe: figures in result.json, curve.csv and "
        "curve.svg. Recall@r is the share of a query's r true neighbours whose ids are among the "
        "first r found; of neighbours at the same distance only those with the truth's ids count. "
        "The same as --evaluate");
  s.key("evaluate.truth", &truth,
        "file of true neighbours, ids as the index has them, a row a query: .ivecs, .npy, .hdf5 "
        "(its dataset neighbors), else big-ann's ids with or without distances; default: an exact "
        "search finds them");
  s.key("evaluate.nprobe", &nprobe, "lists",
        "settings to measure beside search.nprobe; default: 1, 2, 4, ... and all lists");
  s.key("evaluate.breadth", &breadth, "vectors",
        "of search.by = \"graph\", settings to measure beside search.breadth; default: 16, 32, ... "
        "512");
}

void EvaluationConfig::check() const {
  if (!wanted && (!truth.empty() || !nprobe.empty() || !breadth.empty()))
    throw Error(ExitCode::usage, "there are settings for an evaluation, but none is asked for",
                "evaluate.*", "give --evaluate, or set search.evaluate = true");
  if (std::ranges::any_of(nprobe, [](std::int64_t n) { return n < 1; }))
    throw Error(ExitCode::usage, "at least one list must be looked into", "evaluate.nprobe", "");
  if (std::ranges::any_of(breadth, [](std::int64_t n) { return n < 1; }))
    throw Error(ExitCode::usage, "a walk has a breadth", "evaluate.breadth", "");
}

std::optional<GroundTruth> EvaluationConfig::open_truth(std::int64_t queries) const {
  if (truth.empty()) return std::nullopt;
  GroundTruth found(truth);
  if (found.queries() != queries)
    throw Error(ExitCode::data,
                fmt::format("it has the true neighbours of {} queries, there are {} queries",
                            found.queries(), queries),
                truth, "give the true neighbours of these queries: evaluate.truth");
  return found;
}

SearchEvaluation::SearchEvaluation(JobContext& context, const EvaluationConfig& config,
                                   const IndexFolder& index, IndexSearcher& searcher,
                                   const EvaluatedSearch& search)
    : context_(context),
      comm_(context.comm),
      config_(config),
      index_(index),
      searcher_(searcher),
      search_(search),
      truth_k_(search.k) {
  if (!needs_exact()) {
    const auto timed = context_.phases.measure("load");
    comm_.attempt([&] {
      if (comm_.is_root()) truth_ = config_.open_truth(search_.queries);
      largest_id_ =
          index_.largest_id(index_.entries_of(index_.shards_of(comm_.size(), comm_.rank())));
    });
    largest_id_ = comm_.all_reduce_max(largest_id_);
    if (truth_) truth_k_ = truth_->k();
  }
  cutoffs_ = recall_cutoffs(std::min(search_.k, truth_k_));
  const std::vector<std::int64_t> sweep =
      search_.by_graph ? breadth_sweep(config_.breadth, search_.nprobe)
                       : nprobe_sweep(config_.nprobe, search_.nprobe, index_.nlist);
  for (const std::int64_t value : sweep) settings_.push_back({value, RecallCount(cutoffs_), {}});
}

void SearchEvaluation::measure(Range range, ConstMatrixView<float> queries,
                               std::span<const Neighbor> exact) {
  std::vector<std::int64_t> truth;
  comm_.attempt([&] {
    if (comm_.is_root()) truth = truth_of(range, exact);
  });
  // What is read or made at first use is not to be timed.
  if (range.begin == 0) searcher_.probe(queries.row_range(0, 1), 1);
  for (Setting& setting : settings_) {
    const std::vector<Neighbor> found = timed_probe(setting, queries);
    if (comm_.is_root()) count(setting, found, truth);
  }
}

std::vector<Neighbor> SearchEvaluation::timed_probe(Setting& setting,
                                                    ConstMatrixView<float> queries) {
  std::vector<Neighbor> found;
  std::vector<double> seconds;
  double total = 0;
  do {
    const auto start = Clock::now();
    found = searcher_.probe(queries, setting.value);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    total += seconds.back();
  } while (comm_.all_reduce_max(std::int64_t(seconds.size() < kRuns && total < kEnoughSeconds)));
  setting.batch_seconds.push_back(percentile(seconds, 0.5));
  return found;
}

std::vector<std::int64_t> SearchEvaluation::truth_of(Range range,
                                                     std::span<const Neighbor> exact) const {
  if (!truth_) return ids_of(exact);
  std::vector<std::int64_t> ids(std::size_t(range.size() * truth_k_));
  truth_->read_rows(range.begin, range.size(), largest_id_, ids);
  return ids;
}

void SearchEvaluation::count(Setting& setting, std::span<const Neighbor> found,
                             std::span<const std::int64_t> truth) {
  const std::vector<std::int64_t> ids = ids_of(found);
  const auto k = std::size_t(search_.k), truth_k = std::size_t(truth_k_);
  for (std::size_t q = 0; q * k < ids.size(); ++q)
    setting.recall.add(std::span(ids).subspan(q * k, k), truth.subspan(q * truth_k, truth_k));
}

void SearchEvaluation::finish() {
  const RecallCurve measured = curve();
  const auto timed = context_.phases.measure("write");
  comm_.attempt([&] {
    if (!comm_.is_root()) return;
    local_write(measured);
    nlohmann::json points = nlohmann::json::array();
    for (const CurvePoint& point : measured.points) {
      points.push_back(figures_of(measured, point));
      log_info("{} {:>6}  recall@{} {:.4f}  {:>10.0f} queries/s", measured.setting, point.setting,
               cutoffs_.back(), point.recalls.back(), point.queries_per_second);
      if (search_.probing && point.setting == search_.nprobe) context_.result.update(points.back());
    }
    context_.result["disk_bytes_per_vector"] = disk_bytes_per_vector();
    context_.result["truth"] = needs_exact() ? "exact" : config_.truth;
    context_.result["curve"] = points;
  });
}

RecallCurve SearchEvaluation::curve() const {
  RecallCurve curve{cutoffs_, {}, search_.by_graph ? "breadth" : "nprobe"};
  for (const Setting& s : settings_) {
    const double seconds = std::reduce(s.batch_seconds.begin(), s.batch_seconds.end());
    curve.points.push_back({s.value, s.recall.recalls(), double(search_.queries) / seconds,
                            percentile(s.batch_seconds, 0.5), percentile(s.batch_seconds, 0.99)});
  }
  return curve;
}

double SearchEvaluation::disk_bytes_per_vector() const {
  std::int64_t on_disk = 0;
  for (const FileRecord& file : index_.dataset.manifest().files) on_disk += file.bytes;
  return double(on_disk) / double(std::max<std::int64_t>(1, index_.vectors));
}

void SearchEvaluation::local_write(const RecallCurve& curve) const {
  const int ranks = comm_.size(), threads = thread_count();
  PlotSeries series{"tutti", {}};
  for (const CurvePoint& point : curve.points)
    series.points.push_back({point.recalls.back(), point.queries_per_second,
                             fmt::format("{} {}", curve.setting, point.setting)});
  const RecallPlot plot{
      fmt::format("{} vectors \u00d7 {} dimensions, k = {}", with_commas(index_.vectors),
                  index_.dim, search_.k),
      fmt::format("{}, {} queries; {}, {} rank{} of {} thread{}", name_of(index_.metric),
                  with_commas(search_.queries), processor_name(), ranks, ranks == 1 ? "" : "s",
                  threads, threads == 1 ? "" : "s"),
      fmt::format("recall@{}", curve.cutoffs.back()),
      {series}};
  atomic_replace(context_.run_folder / kCurveFile, curve_csv(curve));
  atomic_replace(context_.run_folder / kCurvePictureFile, recall_plot_svg(plot));
}

}  // namespace tutti
