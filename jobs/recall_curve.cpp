#include "jobs/recall_curve.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "runtime/base/check.h"

namespace tutti {
namespace {

// The ids among the first r, ascending.
std::vector<std::int64_t> first_ids(std::span<const std::int64_t> ids, std::int64_t r) {
  std::vector<std::int64_t> first;
  for (const std::int64_t id : ids.first(std::min(std::size_t(r), ids.size())))
    if (id >= 0) first.push_back(id);
  std::ranges::sort(first);
  return first;
}

std::vector<std::int64_t> each_once(std::vector<std::int64_t> settings) {
  std::ranges::sort(settings);
  const auto repeated = std::ranges::unique(settings);
  settings.erase(repeated.begin(), repeated.end());
  return settings;
}

}  // namespace

RecallCount::RecallCount(std::vector<std::int64_t> cutoffs)
    : cutoffs_(std::move(cutoffs)), right_(cutoffs_.size()), all_(cutoffs_.size()) {}

void RecallCount::add(std::span<const std::int64_t> found, std::span<const std::int64_t> truth) {
  for (std::size_t c = 0; c < cutoffs_.size(); ++c) {
    const std::vector<std::int64_t> wanted = first_ids(truth, cutoffs_[c]);
    std::vector<std::int64_t> common;
    std::ranges::set_intersection(first_ids(found, cutoffs_[c]), wanted,
                                  std::back_inserter(common));
    right_[c] += std::int64_t(common.size());
    all_[c] += std::int64_t(wanted.size());
  }
}

std::vector<double> RecallCount::recalls() const {
  std::vector<double> shares;
  for (std::size_t c = 0; c < cutoffs_.size(); ++c)
    shares.push_back(all_[c] ? double(right_[c]) / double(all_[c]) : 1);
  return shares;
}

std::vector<std::int64_t> recall_cutoffs(std::int64_t k) {
  std::vector<std::int64_t> cutoffs;
  for (const std::int64_t r : {1, 10, 100})
    if (r < k) cutoffs.push_back(r);
  cutoffs.push_back(k);
  return cutoffs;
}

std::vector<std::int64_t> nprobe_sweep(std::span<const std::int64_t> given, std::int64_t own,
                                       std::int64_t nlist) {
  std::vector<std::int64_t> sweep(given.begin(), given.end());
  if (given.empty()) {
    for (std::int64_t nprobe = 1; nprobe < nlist; nprobe *= 2) sweep.push_back(nprobe);
    sweep.push_back(nlist);
  }
  sweep.push_back(own);
  for (std::int64_t& nprobe : sweep) nprobe = std::min(nprobe, nlist);
  return each_once(std::move(sweep));
}

std::vector<std::int64_t> breadth_sweep(std::span<const std::int64_t> given, std::int64_t own) {
  std::vector<std::int64_t> sweep(given.begin(), given.end());
  if (given.empty()) sweep = {16, 32, 64, 128, 256, 512};
  sweep.push_back(own);
  return each_once(std::move(sweep));
}

double percentile(std::vector<double> values, double share) {
  CHECK(!values.empty());
  std::ranges::sort(values);
  const double rank = std::ceil(share * double(values.size()));
  return values[std::size_t(std::clamp(rank - 1, 0.0, double(values.size() - 1)))];
}

std::string curve_csv(const RecallCurve& curve) {
  std::string text = curve.setting;
  for (const std::int64_t r : curve.cutoffs) text += fmt::format(",recall_at_{}", r);
  text += ",queries_per_second,batch_seconds_p50,batch_seconds_p99\n";
  for (const CurvePoint& p : curve.points) {
    text += fmt::format("{}", p.setting);
    for (const double recall : p.recalls) text += fmt::format(",{:.6f}", recall);
    text += fmt::format(",{:.1f},{:.6f},{:.6f}\n", p.queries_per_second, p.batch_seconds_p50,
                        p.batch_seconds_p99);
  }
  return text;
}

nlohmann::json figures_of(const RecallCurve& curve, const CurvePoint& point) {
  nlohmann::json figures = {{curve.setting, point.setting},
                            {"queries_per_second", point.queries_per_second},
                            {"batch_seconds_p50", point.batch_seconds_p50},
                            {"batch_seconds_p99", point.batch_seconds_p99}};
  for (std::size_t c = 0; c < curve.cutoffs.size(); ++c)
    figures[fmt::format("recall_at_{}", curve.cutoffs[c])] = point.recalls[c];
  return figures;
}

}  // namespace tutti
